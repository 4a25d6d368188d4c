package org.lockstep.collective;

import static org.lockstep.collective.Values.LENGTHS;
import static org.lockstep.collective.Values.assertHolds;
import static org.lockstep.collective.Values.assertSame;
import static org.lockstep.collective.Values.assertUntouched;
import static org.lockstep.collective.Values.filled;
import static org.lockstep.collective.Values.framed;
import static org.lockstep.collective.Values.given;
import static org.lockstep.collective.Values.room;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/** What moves and is not changed: every block comes to its place, and to no other. */
public interface MovingContract extends Ranks {
    /** Blocks of several lengths, some or all of them empty, some in a single rank's hand. */
    static List<long[]> raggedCounts(int size) {
        List<long[]> all = new ArrayList<>();
        for (int unit : new int[] {1, 33, 2000}) {
            long[] ragged = new long[size];
            long[] single = new long[size];
            for (int rank = 0; rank < size; rank++) {
                ragged[rank] = (rank * 5L + 3) % 4 * unit; // 3, 0, 1, 2, 3, 0, 1 units
            }
            single[size / 2] = unit;
            all.add(ragged);
            all.add(single);
        }
        all.add(new long[size]);
        return all;
    }

    /** What all ranks' {@link Values#filled} blocks make, one after the other. */
    static HostBuffer gathered(DataType type, Blocks blocks) {
        HostBuffer all = HostBuffer.allocate(type, blocks.total());
        for (int rank = 0; rank < blocks.ranks(); rank++) {
            blocks.of(all, rank).toHost().copyFrom(filled(type, (int) blocks.count(rank), rank));
        }
        return all;
    }

    @EverySize
    default void broadcastCopiesTheRootsBuffer(int size) {
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            for (int root = 0; root < size; root++) {
                for (int length : LENGTHS) {
                    for (DataType type : Values.types(length).toList()) {
                        HostBuffer send = given(type, length, rank);
                        HostBuffer receive = room(type, length);
                        communicator.broadcast(send, receive, root);
                        assertHolds(receive, filled(type, length, root));
                        assertHolds(send, filled(type, length, rank));
                        communicator.broadcast(send, root);
                        assertHolds(send, filled(type, length, root));
                    }
                }
            }
            return true;
        });
    }

    @EverySize
    default void allGatherPutsEveryBlockInItsPlace(int size) {
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            for (int length : LENGTHS) {
                for (DataType type : Values.types(length).toList()) {
                    HostBuffer expected = gathered(type, Blocks.even(size, length));
                    HostBuffer send = given(type, length, rank);
                    HostBuffer receive = room(type, length * size);
                    communicator.allGather(send, receive);
                    assertHolds(receive, expected);
                    assertHolds(send, filled(type, length, rank));
                    HostBuffer whole = room(type, length * size);
                    HostBuffer own = whole.slice((long) rank * length, length);
                    own.copyFrom(send);
                    communicator.allGather(own, whole);
                    assertHolds(whole, expected);
                }
            }
            return true;
        });
    }

    @EverySize
    default void allGatherVHasBlocksOfAnyLength(int size) {
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            for (long[] counts : raggedCounts(size)) {
                Blocks blocks = Blocks.of(counts);
                for (DataType type : List.of(DataType.F32, DataType.F16, DataType.I64, DataType.U8)) {
                    HostBuffer send = given(type, (int) counts[rank], rank);
                    HostBuffer receive = room(type, (int) blocks.total());
                    communicator.allGatherV(send, receive, counts);
                    assertHolds(receive, gathered(type, blocks));
                    assertHolds(send, filled(type, (int) counts[rank], rank));
                    HostBuffer whole = room(type, (int) blocks.total());
                    blocks.of(whole, rank).toHost().copyFrom(send);
                    communicator.allGatherV(blocks.of(whole, rank), whole, counts);
                    assertHolds(whole, receive);
                }
            }
            return true;
        });
    }

    @EverySize
    default void gatherFillsTheRootOnly(int size) {
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            for (int root = 0; root < size; root++) {
                for (int length : LENGTHS) {
                    DataType type = DataType.values()[(root + length) % DataType.values().length];
                    HostBuffer expected = gathered(type, Blocks.even(size, length));
                    HostBuffer send = given(type, length, rank);
                    HostBuffer receive = room(type, length * size);
                    communicator.gather(send, receive, root);
                    assertHolds(send, filled(type, length, rank));
                    if (rank == root) {
                        assertHolds(receive, expected);
                        HostBuffer whole = room(type, length * size);
                        HostBuffer own = whole.slice((long) rank * length, length);
                        own.copyFrom(send);
                        communicator.gather(own, whole, root);
                        assertHolds(whole, expected);
                    } else {
                        assertUntouched(receive);
                        communicator.gather(send, null, root);
                    }
                }
            }
            return true;
        });
    }

    @EverySize
    default void scatterGivesEveryRankItsBlock(int size) {
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            for (int root = 0; root < size; root++) {
                for (int length : LENGTHS) {
                    DataType type = DataType.values()[(root + length + 3) % DataType.values().length];
                    HostBuffer all = filled(type, length * size, root);
                    HostBuffer expected = all.slice((long) rank * length, length);
                    HostBuffer send = framed(all);
                    HostBuffer receive = room(type, length);
                    communicator.scatter(rank == root ? send : null, receive, root);
                    assertHolds(receive, expected);
                    assertHolds(send, all);
                    HostBuffer again = rank == root ? send.slice((long) rank * length, length) : room(type, length);
                    communicator.scatter(send, again, root);
                    assertSame(again, expected);
                    assertHolds(send, all);
                }
            }
            return true;
        });
    }

    @EverySize
    default void allToAllTransposesTheBlocks(int size) {
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            for (int length : LENGTHS) {
                for (DataType type : Values.types(length).toList()) {
                    HostBuffer send = given(type, length * size, rank);
                    HostBuffer receive = room(type, length * size);
                    communicator.allToAll(send, receive);
                    HostBuffer expected = HostBuffer.allocate(type, (long) length * size);
                    for (int peer = 0; peer < size; peer++) {
                        HostBuffer theirs = filled(type, length * size, peer);
                        expected.slice((long) peer * length, length)
                                .copyFrom(theirs.slice((long) rank * length, length));
                    }
                    assertHolds(receive, expected);
                    assertHolds(send, filled(type, length * size, rank));
                }
            }
            return true;
        });
    }

    /** How many elements one rank sends another: some nothing, some even nothing to themselves. */
    private static long[] counts(int from, int size, int unit) {
        long[] counts = new long[size];
        for (int to = 0; to < size; to++) {
            counts[to] = (from * 3L + to * 5L + 2) % 4 * unit;
        }
        return counts;
    }

    @EverySize
    default void allToAllVTransposesBlocksOfAnyLength(int size) {
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            for (int unit : new int[] {0, 1, 35, 3000}) {
                for (DataType type : List.of(DataType.F64, DataType.BF16, DataType.I32, DataType.I8)) {
                    Blocks mine = Blocks.of(counts(rank, size, unit));
                    long[] theirs = new long[size];
                    for (int peer = 0; peer < size; peer++) {
                        theirs[peer] = counts(peer, size, unit)[rank];
                    }
                    Blocks come = Blocks.of(theirs);
                    HostBuffer send = given(type, (int) mine.total(), rank);
                    HostBuffer receive = room(type, (int) come.total());
                    communicator.allToAllV(send, counts(rank, size, unit), receive, theirs);
                    HostBuffer expected = HostBuffer.allocate(type, come.total());
                    for (int peer = 0; peer < size; peer++) {
                        Blocks of = Blocks.of(counts(peer, size, unit));
                        HostBuffer whole = filled(type, (int) of.total(), peer);
                        come.of(expected, peer).toHost().copyFrom((HostBuffer) of.of(whole, rank));
                    }
                    assertHolds(receive, expected);
                    assertHolds(send, filled(type, (int) mine.total(), rank));
                }
            }
            return true;
        });
    }

    @ParameterizedTest
    @ValueSource(strings = {"F32", "BF16", "U8", "F64"})
    default void lengthsBeyondEveryChunkMoveWhole(DataType type) {
        int block = 100_001;
        onEvery(3, communicator -> {
            int rank = communicator.rankInGroup();
            HostBuffer own = given(type, block, rank);
            HostBuffer all = room(type, 3 * block);
            communicator.allGather(own, all);
            assertHolds(all, gathered(type, Blocks.even(3, block)));
            HostBuffer root = room(type, 3 * block);
            communicator.gather(own, root, 2);
            if (rank == 2) {
                assertHolds(root, all);
            }
            HostBuffer whole = given(type, 3 * block, rank);
            HostBuffer mine = room(type, block);
            communicator.scatter(whole, mine, 0);
            assertHolds(mine, filled(type, 3 * block, 0).slice((long) rank * block, block));
            HostBuffer crossed = room(type, 3 * block);
            communicator.allToAll(whole, crossed);
            assertSame(
                    crossed.slice(2L * block, block), filled(type, 3 * block, 2).slice((long) rank * block, block));
            communicator.broadcast(whole, 1);
            assertHolds(whole, filled(type, 3 * block, 1));
            return true;
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {10, 1000, 100_000})
    default void buffersOfAllRanksMayBePartsOfOneArray(int length) {
        int size = 3;
        Values values = new Values();
        HostBuffer blocks = HostBuffer.allocate(DataType.F32, (long) (1 + size) * size * length);
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            HostBuffer mine = blocks.slice((long) rank * length, length);
            HostBuffer all = blocks.slice((long) (1 + rank) * size * length, (long) size * length);
            mine.copyFrom(filled(DataType.F32, length, rank));
            communicator.allGather(mine, all);
            assertSame(all, gathered(DataType.F32, Blocks.even(size, length)));
            communicator.allReduce(mine, ReduceOp.SUM);
            assertSame(mine, values.reduced(DataType.F32, ReduceOp.Kind.SUM, length, size));
            mine.copyFrom(filled(DataType.F32, length, rank));
            communicator.broadcast(mine, 1);
            assertSame(mine, filled(DataType.F32, length, 1));
            return true;
        });
    }

    @Test
    default void ranksMayChangeTheirBuffersAsSoonAsACallReturns() {
        onEvery(4, communicator -> {
            int rank = communicator.rankInGroup();
            HostBuffer own = given(DataType.F32, 5000, rank);
            HostBuffer all = room(DataType.F32, 20_000);
            for (int round = 0; round < 50; round++) {
                own.copyFrom(filled(DataType.F32, 5000, rank + round));
                communicator.allGather(own, all);
                own.copyFrom(room(DataType.F32, 5000)); // a peer that still read it would see this
                for (int peer = 0; peer < 4; peer++) {
                    assertSame(all.slice(peer * 5000L, 5000), filled(DataType.F32, 5000, peer + round));
                }
            }
            return true;
        });
    }
}
