package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Fp8;
import org.lockstep.tensor.Half;
import org.lockstep.tensor.HostBuffer;

/**
 * What ranks give and must get: element i of rank r is i · stride + r, so that any misplacement shows. Buffers lie at an odd
 * place in an array whose margins must stay as they are.
 */
public final class Values {
    static final int[] LENGTHS = {0, 1, 4, 100, 1000, 10000};

    private static final int BEFORE = 3;
    private static final int AFTER = 4;
    private static final int NOBODY = 77;

    /** Reductions that were computed, for all ranks of a test to compare with. */
    private final Map<List<Object>, HostBuffer> reductions = new ConcurrentHashMap<>();

    static Stream<DataType> types(int length) {
        return length > 1000 ? Stream.of(DataType.F32, DataType.BF16, DataType.I8) : Stream.of(DataType.values());
    }

    static Stream<ReduceOp.Kind> kinds(DataType type) {
        return Stream.of(ReduceOp.Kind.values())
                .filter(kind ->
                        type.isFloating() || (kind != ReduceOp.Kind.AVG && kind != ReduceOp.Kind.PREMULTIPLIED_SUM));
    }

    /** The op of {@code kind} as this rank gives it. */
    static ReduceOp op(ReduceOp.Kind kind, int rank) {
        return kind == ReduceOp.Kind.PREMULTIPLIED_SUM
                ? ReduceOp.premultipliedSum(factor(rank))
                : new ReduceOp(kind, 1);
    }

    private static double factor(int rank) {
        return (4 + rank % 4)
                / 8.0
                * (1 << rank / 4 % 8); // as it is in every type: NCCL rounds it to that of the elements
    }

    private static double value(DataType type, int i, int rank) {
        int at = i * 17 + rank;
        return switch (type) {
            case F64, F32, I64, I32 -> at;
            case BF16, F16 -> at % 61 / 4.0;
            case I8 -> at % 100 - 50;
            case U8 -> at % 200;
            case F8_E4M3, F8_E5M2 -> at % 7 - 3;
        };
    }

    /** After how many elements those of a type begin anew, whose rank it may be, and so what is reduced of them. */
    private static int period(DataType type) {
        return switch (type) {
            case F64, F32, I64, I32 -> Integer.MAX_VALUE;
            case BF16, F16 -> 61;
            case I8 -> 100;
            case U8 -> 200;
            case F8_E4M3, F8_E5M2 -> 7;
        };
    }

    static HostBuffer filled(DataType type, int length, int rank) {
        return filled(type, 0, length, rank);
    }

    /** The elements {@code from} on of a longer one. */
    private static HostBuffer filled(DataType type, int from, int length, int rank) {
        HostBuffer buffer = HostBuffer.allocate(type, length);
        int different = Math.min(length, period(type));
        for (int i = 0; i < different; i++) {
            set(buffer, i, value(type, from + i, rank));
        }
        repeat(buffer, different);
        return buffer;
    }

    /** A buffer's first elements again and again to its end: that is many times faster than to compute them. */
    private static void repeat(HostBuffer buffer, int elements) {
        int done = elements;
        while (done < buffer.size()) {
            int more = Math.min(done, buffer.size() - done);
            System.arraycopy(buffer.array(), 0, buffer.array(), done, more);
            done += more;
        }
    }

    /** Room for a result, with margins. */
    static HostBuffer room(DataType type, int length) {
        return filled(type, BEFORE + length + AFTER, NOBODY).slice(BEFORE, length);
    }

    /** A copy of {@code content}, with margins. */
    static HostBuffer framed(HostBuffer content) {
        HostBuffer framed = room(content.type(), content.size());
        framed.copyFrom(content);
        return framed;
    }

    /** {@link #filled}, with margins. */
    static HostBuffer given(DataType type, int length, int rank) {
        return framed(filled(type, length, rank));
    }

    /** {@code actual} is {@code expected}, and its margins are what they were. */
    static void assertHolds(HostBuffer actual, HostBuffer expected) {
        assertSame(actual, expected);
        HostBuffer whole = HostBuffer.of(actual.type(), actual.array());
        int end = actual.offset() + actual.size();
        assertMargin(whole, 0, actual.offset());
        assertMargin(whole, end, whole.size() - end);
    }

    private static void assertMargin(HostBuffer whole, int from, int length) {
        assertSame(whole.slice(from, length), filled(whole.type(), from, length, NOBODY));
    }

    static void assertUntouched(HostBuffer room) {
        assertHolds(
                room, filled(room.type(), BEFORE + room.size() + AFTER, NOBODY).slice(BEFORE, room.size()));
    }

    static void assertSame(HostBuffer actual, HostBuffer expected) {
        assertThat(actual.type()).isEqualTo(expected.type());
        assertThat(actual.size()).isEqualTo(expected.size());
        int at = mismatch(actual, expected);
        if (at >= 0) {
            throw new AssertionError("element " + at + " is " + actual.get(at) + ", not " + expected.get(at) + ", of "
                    + actual + ", expected " + expected);
        }
    }

    /** Where the bits of two buffers of a size differ, -1 if nowhere: {@link Arrays} takes each NaN for any other. */
    private static int mismatch(HostBuffer a, HostBuffer b) {
        int i = a.offset();
        int j = b.offset();
        int n = a.size();
        return switch (a.type()) {
            case F64 -> mismatch(a.doubles(), i, b.doubles(), j, n);
            case F32 -> mismatch(a.floats(), i, b.floats(), j, n);
            case I64 -> Arrays.mismatch(a.longs(), i, i + n, b.longs(), j, j + n);
            case I32 -> Arrays.mismatch(a.ints(), i, i + n, b.ints(), j, j + n);
            case BF16, F16 -> Arrays.mismatch(a.shorts(), i, i + n, b.shorts(), j, j + n);
            case I8, U8, F8_E4M3, F8_E5M2 -> Arrays.mismatch(a.byteArray(), i, i + n, b.byteArray(), j, j + n);
        };
    }

    private static int mismatch(double[] a, int i, double[] b, int j, int n) {
        for (int k = 0; k < n; k++) {
            if (Double.doubleToRawLongBits(a[i + k]) != Double.doubleToRawLongBits(b[j + k])) {
                return k;
            }
        }
        return -1;
    }

    private static int mismatch(float[] a, int i, float[] b, int j, int n) {
        for (int k = 0; k < n; k++) {
            if (Float.floatToRawIntBits(a[i + k]) != Float.floatToRawIntBits(b[j + k])) {
                return k;
            }
        }
        return -1;
    }

    /** Every element exactly: 64-bit integers lose nothing, and a NaN has bits. */
    static long[] bits(HostBuffer buffer) {
        return IntStream.range(0, buffer.size())
                .mapToLong(i -> buffer.type() == DataType.I64
                        ? buffer.longs()[buffer.offset() + i]
                        : Double.doubleToRawLongBits(buffer.get(i)))
                .toArray();
    }

    static void set(HostBuffer buffer, int i, double value) {
        int at = buffer.offset() + i;
        switch (buffer.type()) {
            case F64 -> buffer.doubles()[at] = value;
            case F32 -> buffer.floats()[at] = (float) value;
            case BF16 -> buffer.shorts()[at] = Half.floatToBf16((float) value);
            case F16 -> buffer.shorts()[at] = Half.floatToF16((float) value);
            case I64 -> buffer.longs()[at] = (long) value;
            case I32 -> buffer.ints()[at] = (int) value;
            case I8, U8 -> buffer.byteArray()[at] = (byte) (int) value;
            case F8_E4M3 -> buffer.byteArray()[at] = Fp8.floatToE4m3((float) value);
            case F8_E5M2 -> buffer.byteArray()[at] = Fp8.floatToE5m2((float) value);
        }
    }

    /** What ranks 0 to {@code ranks - 1} make of their {@link #filled} buffers. */
    HostBuffer reduced(DataType type, ReduceOp.Kind kind, int length, int ranks) {
        return reductions.computeIfAbsent(List.of(type, kind, length, ranks), key -> {
            HostBuffer buffer = HostBuffer.allocate(type, length);
            int different = Math.min(length, period(type));
            for (int i = 0; i < different; i++) {
                if (type.isFloating()) {
                    double all = tree(type, kind, i, 0, ranks);
                    double one =
                            kind != ReduceOp.Kind.AVG ? all : type == DataType.F64 ? all / ranks : (float) all / ranks;
                    set(buffer, i, one);
                } else {
                    integer(buffer, i, wholeTree(type, kind, i, 0, ranks));
                }
            }
            repeat(buffer, different);
            return buffer;
        });
    }

    private static void integer(HostBuffer buffer, int i, long value) {
        switch (buffer.type()) {
            case I64 -> buffer.longs()[i] = value;
            case I32 -> buffer.ints()[i] = (int) value;
            default -> buffer.byteArray()[i] = (byte) value;
        }
    }

    /** tree(lo, hi) = tree(lo, mid) + tree(mid, hi), in the type that accumulates. */
    private static double tree(DataType type, ReduceOp.Kind kind, int i, int lo, int hi) {
        if (hi - lo == 1) {
            return leaf(type, kind, i, lo);
        }
        int mid = lo + Integer.highestOneBit(hi - lo - 1);
        double left = tree(type, kind, i, lo, mid);
        double right = tree(type, kind, i, mid, hi);
        double joined = switch (kind) {
            case SUM, AVG, PREMULTIPLIED_SUM -> left + right;
            case PRODUCT -> left * right;
            case MIN -> Math.min(left, right);
            case MAX -> Math.max(left, right);
        };
        return type == DataType.F64 ? joined : (float) joined;
    }

    /** A rank's own element, which a factor multiplies and the element's type rounds. */
    private static double leaf(DataType type, ReduceOp.Kind kind, int i, int rank) {
        double value = value(type, i, rank);
        if (kind != ReduceOp.Kind.PREMULTIPLIED_SUM) {
            return value;
        }
        float narrow = (float) value * (float) factor(rank);
        return switch (type) {
            case F64 -> value * factor(rank);
            case BF16 -> Half.bf16ToFloat(Half.floatToBf16(narrow));
            case F16 -> Half.f16ToFloat(Half.floatToF16(narrow));
            case F8_E4M3 -> Fp8.e4m3ToFloat(Fp8.floatToE4m3(narrow));
            case F8_E5M2 -> Fp8.e5m2ToFloat(Fp8.floatToE5m2(narrow));
            default -> narrow;
        };
    }

    /** Integers wrap at the end as they would on the way. */
    private static long wholeTree(DataType type, ReduceOp.Kind kind, int i, int lo, int hi) {
        if (hi - lo == 1) {
            return (long) value(type, i, lo);
        }
        int mid = lo + Integer.highestOneBit(hi - lo - 1);
        long left = wholeTree(type, kind, i, lo, mid);
        long right = wholeTree(type, kind, i, mid, hi);
        return switch (kind) {
            case PRODUCT -> left * right;
            case MIN -> Math.min(left, right);
            case MAX -> Math.max(left, right);
            default -> left + right;
        };
    }
}
