package org.lockstep.transport;

import java.util.Arrays;
import java.util.Set;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/**
 * What two ranks of a JVM do with buffers of {@value LargeBufferTest#ELEMENTS} floats, every element of which is looked at: a
 * broadcast and a send, of threads also an all-gather, a reduce-scatter and an all-reduce.
 */
final class LargeOperations {
    /** A prime: no part of a buffer looks like its neighbour. */
    private static final int PERIOD = 10_007;

    private static final int HALF = LargeBufferTest.ELEMENTS / 2;

    private LargeOperations() {}

    /** The kind of transport; ends with 1 and a stack if an element is not what it must be. */
    public static void main(String[] args) {
        TransportKind kind = TransportKind.parse(args[0]);
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2))
                .withKinds(Set.of(GroupKind.WORLD))
                .withTransports(Set.of(kind));
        LocalWorld two = LocalWorld.of(2).withVenues(kind == TransportKind.THREAD ? 1 : 2);
        two.withDeadline(LargeBufferTest.PATIENCE).run(rendezvous -> {
            try (CpuBackend backend = CpuBackend.create();
                    World world = World.join(rendezvous, backend, spec)) {
                both(kind, world.communicators().world());
                return true;
            }
        });
    }

    private static void both(TransportKind kind, Communicator communicator) {
        int rank = communicator.rankInGroup();
        HostBuffer x = HostBuffer.allocate(DataType.F32, LargeBufferTest.ELEMENTS);

        fill(x, rank + 1);
        communicator.broadcast(x, 1);
        require("broadcast", x, 2, 0);

        fill(x, rank + 1);
        if (rank == 0) {
            communicator.send(x, 1);
        } else {
            communicator.receive(x, 0);
        }
        require("send", x, 1, 0);
        if (kind == TransportKind.THREAD) {
            inOneHeap(communicator, x);
        }
        communicator.barrier();
    }

    private static void inOneHeap(Communicator communicator, HostBuffer x) {
        int rank = communicator.rankInGroup();
        HostBuffer own = x.slice((long) rank * HALF, HALF);

        fill(x, 7);
        fill(own, rank + 1);
        communicator.allGather(own, x);
        require("all_gather", x.slice(0, HALF), 1, 0);
        require("all_gather", x.slice(HALF, HALF), 2, 0);

        fill(x, rank + 1);
        communicator.reduceScatter(x, own, ReduceOp.SUM);
        require("reduce_scatter", own, 3, rank * HALF);

        fill(x, rank + 1);
        communicator.allReduce(x, ReduceOp.SUM);
        require("all_reduce", x, 3, 0);
    }

    private static float[] pattern(int factor) {
        float[] pattern = new float[PERIOD];
        for (int i = 0; i < PERIOD; i++) {
            pattern[i] = factor * (i % 4_001);
        }
        return pattern;
    }

    private static void fill(HostBuffer x, int factor) {
        float[] pattern = pattern(factor);
        float[] all = (float[]) x.array();
        int end = x.offset() + x.size();
        for (int at = x.offset(); at < end; at += PERIOD) {
            System.arraycopy(pattern, 0, all, at, Math.min(PERIOD, end - at));
        }
    }

    /** That x is as {@link #fill} leaves a buffer from its element {@code from} on. */
    private static void require(String operation, HostBuffer x, int factor, int from) {
        float[] pattern = pattern(factor);
        float[] part = new float[PERIOD]; // a copy: Arrays.mismatch of 17.0.15 crashes so far into an array
        int done = 0;
        while (done < x.size()) {
            int phase = (from + done) % PERIOD;
            int count = Math.min(PERIOD - phase, x.size() - done);
            System.arraycopy(x.array(), x.offset() + done, part, 0, count);
            int wrong = Arrays.mismatch(part, 0, count, pattern, phase, phase + count);
            if (wrong >= 0) {
                throw new IllegalStateException(
                        operation + ": element " + (done + wrong) + " of " + x.size() + " is " + part[wrong]);
            }
            done += count;
        }
    }
}
