package org.lockstep.collective;

import static org.lockstep.collective.Ranks.assertAll;
import static org.lockstep.collective.Values.assertHolds;
import static org.lockstep.collective.Values.filled;
import static org.lockstep.collective.Values.given;
import static org.lockstep.collective.Values.room;

import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/**
 * What the contract promises and no transport does yet: transfers that progress together, lengths of blocks compared pair by
 * pair, factors in a reduce-scatter. {@link CommunicatorContract} takes it in once one does.
 */
public interface PendingContract extends Ranks {
    @ParameterizedTest
    @ValueSource(ints = {2, 3, 7})
    default void aRingOfLargeMessagesAllSendingFirstDoesNotBlock(int size) {
        int length = 1 << 18; // 1 MiB, beyond what sockets and mailboxes hold
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            List<HostBuffer> got = List.of(
                    room(DataType.F32, length),
                    room(DataType.F32, length),
                    room(DataType.F32, length),
                    room(DataType.F32, length),
                    room(DataType.F32, length),
                    room(DataType.F32, length));
            communicator.grouped(group -> {
                for (int i = 0; i < got.size(); i++) {
                    group.send(filled(DataType.F32, length, 10 * rank + i));
                }
                got.forEach(group::receive);
            });
            for (int i = 0; i < got.size(); i++) {
                assertHolds(got.get(i), filled(DataType.F32, length, 10 * ((rank + size - 1) % size) + i));
            }
            return true;
        });
    }

    @Test
    default void anAllToAllVWhosePairsDisagreeIsToldToEveryRank() {
        for (int unit : new int[] {1, 5000}) {
            List<CommunicatorException> failures = failuresOf(3, communicator -> {
                int rank = communicator.rankInGroup();
                long[] even = {unit, unit, unit};
                long[] odd = {unit, 2L * unit, unit}; // rank 0 has more for rank 1 than that expects
                communicator.allToAllV(
                        HostBuffer.allocate(DataType.F32, (rank == 0 ? 4L : 3L) * unit),
                        rank == 0 ? odd : even,
                        HostBuffer.allocate(DataType.F32, 3L * unit),
                        even);
                communicator.barrier();
                return null;
            });
            assertAll(failures, ErrorCode.COLLECTIVE_MISMATCH, "all_to_all_v #1", "rank 0", "rank 1");
        }
    }

    @EverySize
    default void reduceScatterMultipliesFirst(int size) {
        Values values = new Values();
        ReduceOp.Kind kind = ReduceOp.Kind.PREMULTIPLIED_SUM;
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            for (int length : Values.LENGTHS) {
                for (DataType type : List.of(DataType.F64, DataType.F32, DataType.BF16, DataType.F16)) {
                    HostBuffer all = values.reduced(type, kind, length * size, size);
                    HostBuffer send = given(type, length * size, rank);
                    HostBuffer receive = room(type, length);
                    communicator.reduceScatter(send, receive, Values.op(kind, rank));
                    assertHolds(receive, all.slice((long) rank * length, length));
                    assertHolds(send, filled(type, length * size, rank));
                    long[] counts = new long[size];
                    Arrays.fill(counts, length);
                    HostBuffer own = send.slice((long) rank * length, length);
                    communicator.reduceScatterV(send, own, Values.op(kind, rank), counts);
                    Values.assertSame(own, receive);
                }
            }
            return true;
        });
    }
}
