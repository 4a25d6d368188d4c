package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Queue;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.flight.FlightRecord;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/** A world whose ranks are JVMs to each other, over a network and with a fault as a schedule says. */
final class ChaosWorld {
    /** How long what must run out is waited for, an operation or the silence of a peer; all else has the time it takes. */
    private static final Duration BRIEF = Duration.ofSeconds(3);

    private static final Duration LONG = Duration.ofSeconds(50);
    private static final int ROUNDS = 25; // of a world to which nothing happens
    private static final int[] LENGTHS = {1, 100, 3000, 40_000};

    private final ChaosSchedule schedule;
    private final Queue<ChaosProxy> proxies = new ConcurrentLinkedQueue<>();

    ChaosWorld(ChaosSchedule schedule) {
        this.schedule = schedule;
    }

    /**
     * How a rank ended.
     *
     * @param failure null for well
     * @param record of its last operations
     */
    record End(int rank, @Nullable RuntimeException failure, FlightRecord record) {}

    /** @param released nanoseconds from the fault to the end of the last rank; 0 if nothing happened */
    record Outcome(List<End> ends, long released) {}

    Outcome run() throws IOException {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(schedule.size))
                .withKinds(Set.of(GroupKind.WORLD))
                .withTransports(Set.of(TransportKind.TCP))
                .withEncryption(schedule.encrypted)
                .withOperationTimeout(schedule.fault == ChaosSchedule.Fault.STALL ? BRIEF : LONG);
        Duration loss = schedule.fault == ChaosSchedule.Fault.SILENCE ? BRIEF : LONG;
        Rhythm rhythm = new Rhythm(Duration.ofMillis(100), Duration.ofSeconds(1), loss);
        CyclicBarrier connected = new CyclicBarrier(schedule.size);
        AtomicLong released = new AtomicLong();
        try {
            List<End> ends = LocalWorld.of(schedule.size)
                    .withVenues(schedule.size)
                    .run(rendezvous -> {
                        try (CpuBackend backend = CpuBackend.create(Listen.loopback(), rhythm);
                                World world = World.join(
                                        Told.through(rendezvous, spec.key(), schedule, proxies), backend, spec)) {
                            connected.await();
                            schedule.begin();
                            End end = live(world);
                            released.accumulateAndGet(schedule.sinceFault(), Math::max);
                            return end;
                        }
                    });
            return new Outcome(ends, released.get());
        } finally {
            for (ChaosProxy proxy : proxies) {
                proxy.close();
            }
        }
    }

    private End live(World world) {
        int rank = world.state().rank();
        FlightRecord.End how = FlightRecord.End.RETURNED;
        RuntimeException failure = null;
        try {
            work(world.communicators().world(), rank);
        } catch (CommunicatorException told) {
            failure = told;
            how = FlightRecord.End.RELEASED;
        } catch (IllegalStateException own) {
            failure = own;
            how = FlightRecord.End.FAILED;
            world.abort(own);
        }
        return new End(rank, failure, FlightRecord.of(world, "a thread", how));
    }

    private void work(Communicator world, int rank) {
        boolean endless = schedule.fault != ChaosSchedule.Fault.NONE;
        for (int round = 1; endless || round <= ROUNDS; round++) {
            if (rank == schedule.caller && round == schedule.round) {
                switch (schedule.fault) {
                    case THROW -> {
                        schedule.fire();
                        throw new IllegalStateException("planned by seed " + schedule.seed);
                    }
                    case RETURN -> {
                        schedule.fire();
                        return;
                    }
                    case MISMATCH -> {
                        schedule.fire();
                        world.allReduce(HostBuffer.allocate(DataType.I64, 7), ReduceOp.MAX);
                    }
                    default -> {}
                }
            }
            round(world, new Random(31 * schedule.seed + round));
        }
    }

    /** One operation, the same on all ranks, whose result each can check. */
    private static void round(Communicator world, Random random) {
        int length = LENGTHS[random.nextInt(LENGTHS.length)];
        int me = world.rankInGroup();
        int size = world.size();
        HostBuffer x = HostBuffer.allocate(DataType.F32, length);
        for (int i = 0; i < length; i++) {
            x.floats()[i] = i % 1000 + me;
        }
        int last = (length - 1) % 1000;
        switch (random.nextInt(4)) {
            case 0 -> {
                world.allReduce(x, ReduceOp.SUM);
                assertThat(x.get(length - 1)).isEqualTo((double) size * last + size * (size - 1) / 2.0);
            }
            case 1 -> {
                int root = random.nextInt(size);
                world.broadcast(x, root);
                assertThat(x.get(length - 1)).isEqualTo(last + root);
            }
            case 2 -> {
                HostBuffer next = HostBuffer.allocate(DataType.F32, length);
                world.grouped(ring -> {
                    ring.send(x, (me + 1) % size);
                    ring.receive(next, (me + size - 1) % size);
                });
                assertThat(next.get(length - 1)).isEqualTo(last + (me + size - 1) % size);
            }
            default -> world.barrier();
        }
    }
}
