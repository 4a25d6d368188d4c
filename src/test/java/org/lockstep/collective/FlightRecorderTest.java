package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.ProcessGroup;

/** The last operations of a communicator, as they are read out of its ring. */
@Timeout(60)
class FlightRecorderTest {
    private static final ProcessGroup GROUP = ProcessGroup.of("tp", 0, 4, 5);

    private static OperationTag sum(long sequence) {
        return new OperationTag(sequence, Operation.ALL_REDUCE, ReduceOp.Kind.SUM, DataType.BF16, 7, -1);
    }

    @Test
    void anOperationIsThereWithAllItsWords() {
        FlightRecorder recorder = new FlightRecorder();
        assertThat(recorder.read(GROUP, 1)).isEqualTo(new Flight(GROUP, 5, 0, List.of()));
        recorder.begin(sum(1), 0, System.nanoTime());
        assertThat(recorder.read(GROUP, 1).underWay()).hasSize(1);
        recorder.end(System.nanoTime());
        recorder.transfer(false, DataType.I32, 3, 0, 2, true, 0, 0);
        recorder.transfer(true, null, 0, 0, 2, false, 0, 0);
        Flight flight = recorder.read(GROUP, 1);
        assertThat(flight.entries()).hasSize(3);
        assertThat(flight.entries().get(0).tag()).isEqualTo(sum(1));
        assertThat(flight.entries().get(0).isComplete()).isTrue();
        assertThat(flight.entries().get(0).thread())
                .isEqualTo(Thread.currentThread().getName());
        assertThat(flight.entries().get(0).ended())
                .isGreaterThanOrEqualTo(flight.entries().get(0).started());
        assertThat(flight.underWay())
                .extracting(Flight.Entry::toString)
                .containsExactly("receive #1 i32[3] from 0", "send_object #1 to 0");
        assertThat(flight.lastCollective()).get().extracting(Flight.Entry::tag).isEqualTo(sum(1));
        recorder.end(0);
        assertThat(recorder.read(GROUP, 1).underWay()).isEmpty();
    }

    @Test
    void theOldestAreOverwritten() {
        FlightRecorder recorder = new FlightRecorder();
        for (int i = 1; i <= 1000; i++) {
            recorder.begin(sum(i), 0, 0);
            recorder.end(0);
        }
        Flight flight = recorder.read(GROUP, 0);
        assertThat(flight.operations()).isEqualTo(1000);
        assertThat(flight.entries().stream().mapToLong(entry -> entry.tag().sequence()))
                .containsExactlyElementsOf(
                        LongStream.rangeClosed(746, 1000).boxed().toList());
    }

    @Test
    void whatIsOverwrittenWhileItIsReadIsLeftOut() throws InterruptedException {
        FlightRecorder recorder = new FlightRecorder();
        AtomicBoolean over = new AtomicBoolean();
        Thread writer = new Thread(() -> {
            for (long i = 1; !over.get(); i++) {
                recorder.begin(new OperationTag(i, Operation.BARRIER, null, null, 3 * i, -1), 0, i);
                recorder.end(i);
            }
        });
        writer.start();
        try {
            for (int look = 0; look < 2000; look++) {
                long before = 0;
                for (Flight.Entry entry : recorder.read(GROUP, 0).entries()) {
                    assertThat(entry.tag().count()).isEqualTo(3 * entry.tag().sequence());
                    assertThat(entry.tag().sequence()).isGreaterThan(before);
                    before = entry.tag().sequence();
                }
            }
        } finally {
            over.set(true);
            writer.join();
        }
    }

    @Test
    void everyCallOfACommunicatorIsRecorded() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2));
        List<List<String>> seen = LocalWorld.of(2).run(rendezvous -> {
            try (CpuBackend backend = CpuBackend.create();
                    World world = World.join(rendezvous, backend, spec)) {
                Communicator tensor = world.communicators().tensor();
                int peer = 1 - tensor.rankInGroup();
                tensor.allReduce(Buffer.ofFloats(1, 2), ReduceOp.SUM);
                tensor.async(queue -> queue.barrier()).await();
                tensor.grouped(both -> {
                    both.send(Buffer.ofInts(1), peer);
                    both.receive(Buffer.ofInts(0), peer);
                });
                if (peer == 1) {
                    tensor.sendObject("hello", peer);
                } else {
                    tensor.receiveObject(peer, String.class);
                }
                Flight flight = tensor.flight();
                assertThat(flight.entries()).allMatch(Flight.Entry::isComplete);
                assertThat(flight.entries().get(1).thread()).startsWith("lockstep-tp");
                assertThat(flight.entries().get(1).queued())
                        .isLessThanOrEqualTo(flight.entries().get(1).started());
                return flight.entries().stream().map(Flight.Entry::toString).toList();
            }
        });
        assertThat(seen.get(0))
                .containsExactly(
                        "all_reduce #1 sum f32[2]",
                        "barrier #2",
                        "send #1 i32[1] to 1",
                        "receive #1 i32[1] from 1",
                        "send_object #2 to 1");
        assertThat(seen.get(1)).contains("receive #1 i32[1] from 0", "receive_object #2 from 0");
    }
}
