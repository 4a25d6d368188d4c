package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;

/** What ranks tell each other of their blocks before these travel; that all come to their places is tried in large groups. */
@Timeout(60)
class BruckAllToAllTest {
    private static final int RANKS = 5;
    private static final int STEPS = 3;
    private static final int MUCH = 1000;

    /** Elements of one rank for another: one, but much of rank 0 for rank 3. */
    private static int count(int from, int to) {
        return from == 0 && to == 3 ? MUCH : 1;
    }

    /** A rank may wait for one that waits for another's much: it must not give up sooner than those two. */
    @Test
    void whoHasLittleHasTheTimeOfTheRankWithTheMost() {
        List<Long> allowed = Meshes.onEvery(RANKS, BruckAllToAllTest::allowed);
        long most = 4L * (MUCH + RANKS - 1);
        assertThat(allowed).hasSize(RANKS).containsOnly(STEPS * most);
    }

    /** The bytes that a rank has the time for. */
    private static long allowed(Mesh mesh) {
        int rank = mesh.rank();
        long[] out = new long[RANKS];
        long[] in = new long[RANKS];
        Arrays.setAll(out, peer -> count(rank, peer));
        Arrays.setAll(in, peer -> count(peer, rank));
        HostBuffer send = HostBuffer.allocate(DataType.I32, Arrays.stream(out).sum());
        HostBuffer receive = HostBuffer.allocate(DataType.I32, Arrays.stream(in).sum());
        Arrays.fill(send.ints(), rank + 1);
        AtomicLong bytes = new AtomicLong(Math.max(send.bytes(), receive.bytes()));
        OperationTag tag = new OperationTag(1, Operation.ALL_TO_ALL_V, null, DataType.I32, 0, -1);
        mesh.begin(tag, Duration.ofMinutes(1), more -> {
            bytes.addAndGet(more);
            return Duration.ZERO;
        });
        new BruckAllToAll(mesh).run(tag, send, Blocks.of(out), receive, Blocks.of(in));
        assertThat(Arrays.stream(receive.ints()).sum()).isEqualTo(rank == 3 ? MUCH + 2 + 3 + 4 + 5 : 1 + 2 + 3 + 4 + 5);
        return bytes.get();
    }
}
