package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.lockstep.collective.Values.LENGTHS;
import static org.lockstep.collective.Values.assertHolds;
import static org.lockstep.collective.Values.assertUntouched;
import static org.lockstep.collective.Values.filled;
import static org.lockstep.collective.Values.given;
import static org.lockstep.collective.Values.op;
import static org.lockstep.collective.Values.room;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.FaultCase;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Half;
import org.lockstep.tensor.HostBuffer;

/** Reductions: every op of every type, in the order of the ranks, equal bit by bit everywhere. */
public interface ReductionContract extends Ranks {
    @EverySize
    @FaultCase({"F27", "F28"})
    default void allReduceJoinsInTheOrderOfRanks(int size) {
        Values values = new Values();
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            for (int length : LENGTHS) {
                for (DataType type : Values.types(length).toList()) {
                    for (ReduceOp.Kind kind : Values.kinds(type).toList()) {
                        HostBuffer expected = values.reduced(type, kind, length, size);
                        HostBuffer send = given(type, length, rank);
                        HostBuffer receive = room(type, length);
                        communicator.allReduce(send, receive, op(kind, rank));
                        assertHolds(receive, expected);
                        assertHolds(send, Values.filled(type, length, rank));
                        communicator.allReduce(send, op(kind, rank));
                        assertHolds(send, expected);
                    }
                }
            }
            return true;
        });
    }

    @EverySize
    default void reduceTellsTheRootOnly(int size) {
        Values values = new Values();
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            for (int root = 0; root < size; root++) {
                for (int length : LENGTHS) {
                    DataType type = DataType.values()[(root + length) % DataType.values().length];
                    for (ReduceOp.Kind kind : Values.kinds(type).toList()) {
                        HostBuffer expected = values.reduced(type, kind, length, size);
                        HostBuffer send = given(type, length, rank);
                        HostBuffer receive = room(type, length);
                        communicator.reduce(send, receive, op(kind, rank), root);
                        assertHolds(send, Values.filled(type, length, rank));
                        communicator.reduce(send, op(kind, rank), root);
                        if (rank == root) {
                            assertHolds(receive, expected);
                            assertHolds(send, expected);
                        } else {
                            assertUntouched(receive);
                            assertHolds(send, Values.filled(type, length, rank));
                        }
                    }
                }
            }
            return true;
        });
    }

    @EverySize
    default void reduceScatterLeavesEveryRankItsBlock(int size) {
        Values values = new Values();
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            for (int length : LENGTHS) {
                for (DataType type : Values.types(length).toList()) {
                    for (ReduceOp.Kind kind : Values.kinds(type).toList()) {
                        if (length > 1000 && kind != ReduceOp.Kind.SUM) {
                            continue;
                        }
                        HostBuffer all = values.reduced(type, kind, length * size, size);
                        HostBuffer send = given(type, length * size, rank);
                        HostBuffer receive = room(type, length);
                        communicator.reduceScatter(send, receive, op(kind, rank));
                        assertHolds(receive, all.slice((long) rank * length, length));
                        assertHolds(send, Values.filled(type, length * size, rank));
                        HostBuffer own = send.slice((long) rank * length, length);
                        communicator.reduceScatter(send, own, op(kind, rank));
                        Values.assertSame(own, receive);
                    }
                }
            }
            return true;
        });
    }

    @EverySize
    default void reduceScatterVHasBlocksOfAnyLength(int size) {
        Values values = new Values();
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            for (long[] counts : MovingContract.raggedCounts(size)) {
                Blocks blocks = Blocks.of(counts);
                for (DataType type : List.of(DataType.F32, DataType.BF16, DataType.I64, DataType.U8)) {
                    int length = (int) blocks.total();
                    HostBuffer all = values.reduced(type, ReduceOp.Kind.SUM, length, size);
                    HostBuffer send = given(type, length, rank);
                    HostBuffer receive = room(type, (int) blocks.count(rank));
                    communicator.reduceScatterV(send, receive, ReduceOp.SUM, counts);
                    assertHolds(receive, (HostBuffer) blocks.of(all, rank));
                    assertHolds(send, Values.filled(type, length, rank));
                    HostBuffer own = (HostBuffer) blocks.of(send, rank);
                    communicator.reduceScatterV(send, own, ReduceOp.SUM, counts);
                    Values.assertSame(own, receive);
                }
            }
            return true;
        });
    }

    @ParameterizedTest
    @EnumSource(DataType.class)
    @FaultCase("F25")
    default void lengthsBeyondEveryChunkAreReducedWhole(DataType type) {
        int length = 300_003;
        Values values = new Values();
        onEvery(3, communicator -> {
            int rank = communicator.rankInGroup();
            HostBuffer expected = values.reduced(type, ReduceOp.Kind.SUM, length, 3);
            HostBuffer send = given(type, length, rank);
            HostBuffer receive = room(type, length);
            communicator.allReduce(send, receive, ReduceOp.SUM);
            assertHolds(receive, expected);
            HostBuffer third = room(type, length / 3);
            communicator.reduceScatter(send, third, ReduceOp.SUM);
            assertHolds(third, expected.slice((long) rank * (length / 3), length / 3));
            communicator.reduce(send, ReduceOp.SUM, 1);
            assertHolds(send, rank == 1 ? expected : Values.filled(type, length, rank));
            return true;
        });
    }

    /** Two ranks share the work of more than 4 MiB: the sums are those of its parts. */
    @ParameterizedTest
    @EnumSource(names = {"F32", "BF16"})
    @FaultCase({"F25", "F27"})
    default void theSumOfALargeBufferIsThatOfItsParts(DataType type) {
        int length = (4 << 20) / type.bytes() + 3;
        onEvery(2, communicator -> {
            int rank = communicator.rankInGroup();
            HostBuffer parts = given(type, length, rank);
            for (int from = 0; from < length; from += 500_000) {
                communicator.allReduce(parts.slice(from, Math.min(500_000, length - from)), ReduceOp.SUM);
            }
            HostBuffer apart = room(type, length);
            communicator.allReduce(given(type, length, rank), apart, ReduceOp.SUM);
            assertHolds(apart, parts);
            HostBuffer inPlace = given(type, length, rank);
            communicator.allReduce(inPlace, ReduceOp.SUM);
            assertHolds(inPlace, parts);
            return true;
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 7})
    @FaultCase("F27")
    default void resultsAreEqualBitByBitEverywhere(int size) {
        List<long[]> bits = onEvery(size, communicator -> {
            HostBuffer buffer = awkward(5000, communicator.rankInGroup());
            communicator.allReduce(buffer, ReduceOp.SUM);
            HostBuffer small = awkward(33, communicator.rankInGroup());
            communicator.allReduce(small, ReduceOp.SUM);
            Values.assertSame(small, buffer.slice(0, 33)); // whatever algorithm a length takes
            return Values.bits(buffer);
        });
        for (long[] each : bits) {
            assertThat(each).isEqualTo(bits.get(0));
            for (int i = 0; i < 5000; i++) {
                assertThat(each[i]).isEqualTo(Double.doubleToLongBits(awkwardTree(i, 0, size)));
            }
        }
    }

    private static float awkwardValue(int i, int rank) {
        return switch (i % 50) {
            case 7 -> rank == 1 ? Float.NaN : Float.intBitsToFloat(0x7fc12345 + rank);
            case 8 -> rank % 2 == 0 ? Float.POSITIVE_INFINITY : Float.NEGATIVE_INFINITY;
            case 9 -> rank == 3 ? Float.MAX_VALUE : -0f;
            default -> (float) (Math.sin(i * 1.7 + rank * 31.3) * Math.pow(10, (i + 3 * rank) % 12 - 6));
        };
    }

    private static HostBuffer awkward(int length, int rank) {
        HostBuffer buffer = HostBuffer.allocate(DataType.F32, length);
        for (int i = 0; i < length; i++) {
            buffer.floats()[i] = awkwardValue(i, rank);
        }
        return buffer;
    }

    private static float awkwardTree(int i, int lo, int hi) {
        if (hi - lo == 1) {
            return awkwardValue(i, lo);
        }
        int mid = lo + Integer.highestOneBit(hi - lo - 1);
        return awkwardTree(i, lo, mid) + awkwardTree(i, mid, hi);
    }

    @Test
    @FaultCase("F26")
    default void whatIsNoNumberPassesThrough() {
        onEvery(3, communicator -> {
            int rank = communicator.rankInGroup();
            float infinity = Float.POSITIVE_INFINITY;
            HostBuffer x = Buffer.ofFloats(rank == 1 ? Float.NaN : 1, rank == 2 ? infinity : 1, -infinity);
            for (ReduceOp op : List.of(ReduceOp.SUM, ReduceOp.MAX, ReduceOp.MIN, ReduceOp.PRODUCT, ReduceOp.AVG)) {
                HostBuffer result = HostBuffer.allocate(DataType.F32, 3);
                communicator.allReduce(x, result, op);
                assertThat(result.floats()[0]).as(op.toString()).isNaN();
                assertThat(result.floats()[1]).as(op.toString()).isEqualTo(op == ReduceOp.MIN ? 1 : infinity);
                assertThat(Math.abs(result.floats()[2])).as(op.toString()).isEqualTo(infinity);
            }
            HostBuffer bits = HostBuffer.of(DataType.BF16, new short[] {(short) 0x7fa1, Half.floatToBf16(-infinity)});
            HostBuffer all = HostBuffer.allocate(DataType.BF16, 6);
            communicator.allGather(bits, all);
            assertThat(all.shorts())
                    .containsExactly(
                            bits.shorts()[0],
                            bits.shorts()[1],
                            bits.shorts()[0],
                            bits.shorts()[1],
                            bits.shorts()[0],
                            bits.shorts()[1]);
            return true;
        });
    }

    @Test
    default void sixteenBitTypesAreAccumulatedInF32() {
        onEvery(4, communicator -> {
            // In bf16, whose step here is 2, (256 + ½) + (½ + ½) is 256 at each step; rounded once, 257½ is 258.
            short value = Half.floatToBf16(communicator.rankInGroup() == 0 ? 256 : 0.5f);
            HostBuffer x = HostBuffer.of(DataType.BF16, new short[] {value});
            communicator.allReduce(x, ReduceOp.SUM);
            assertThat(x.get(0)).isEqualTo(258);
            return true;
        });
    }

    @Test
    default void whatIsTooLargeForEightBitsIsTheLargest() {
        onEvery(2, communicator -> {
            byte[] bits = {0x7e, (byte) 0xfe, 0x7f, 0x38}; // 448, -448, NaN, 1
            HostBuffer x = HostBuffer.of(DataType.F8_E4M3, bits);
            communicator.allReduce(x, ReduceOp.SUM);
            assertThat(x.toFloats()).containsExactly(448, -448, Float.NaN, 2);
            return true;
        });
    }

    /** 0.3 · 3 is 0.9 only where both are f32: each way that a sum may go has the bits of the others. */
    @EverySize
    default void aFactorIsRoundedToTheTypeOfTheElements(int size) {
        Map<DataType, Float> products =
                Map.of(DataType.F32, 0.3f * 3, DataType.BF16, 0.90234375f, DataType.F16, 0.900390625f);
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            for (Map.Entry<DataType, Float> each : products.entrySet()) {
                HostBuffer x = HostBuffer.allocate(each.getKey(), size);
                Values.set(x, rank, 3);
                communicator.allReduce(x, ReduceOp.premultipliedSum(0.3));
                for (int i = 0; i < size; i++) {
                    assertThat(x.get(i)).as("%s", each.getKey()).isEqualTo((double) each.getValue());
                }
            }
            return true;
        });
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
