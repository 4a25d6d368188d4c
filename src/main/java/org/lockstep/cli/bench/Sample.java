package org.lockstep.cli.bench;

import java.util.function.IntToDoubleFunction;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Fp8;
import org.lockstep.tensor.Half;
import org.lockstep.tensor.HostBuffer;

/**
 * What ranks send, and what must come of it: whole numbers so small that every sum is exact in f32, in whatever order it
 * is made; of {@link BenchPlan#MOST_OF_FP8} ranks in the floating types of 8 bits too, which some libraries add in.
 *
 * @param kind of the reduction
 * @param ranks of the group
 * @param type of the elements
 */
record Sample(ReduceOp.Kind kind, int ranks, DataType type) {
    /** No power of two and prime: a block at the wrong place has other elements. */
    private static final int PERIOD = 101;

    private static final int STRIDE = 13;

    /** Element {@code index} of what {@code rank} sends where nothing is reduced. */
    static double plain(int rank, int index) {
        return (index + (long) STRIDE * rank) % PERIOD;
    }

    /** Element {@code index} of what {@code rank} sends into a reduction. */
    double term(int rank, int index) {
        return switch (kind) {
            case PRODUCT -> index % (ranks + 1) == rank ? 2 : 1; // one factor at most: no product grows
            case AVG -> type.isFp8() ? index % 2 : index % PERIOD + 2 * rank - (ranks - 1); // which cancel each other
            case SUM, PREMULTIPLIED_SUM -> type.isFp8() ? plain(rank, index) % 2 : plain(rank, index);
            case MIN, MAX -> plain(rank, index);
        };
    }

    /** Element {@code index} of the reduction over all ranks, before it is rounded to a type. */
    double reduced(int index) {
        double result = term(0, index);
        for (int rank = 1; rank < ranks; rank++) {
            double next = term(rank, index);
            result = switch (kind) {
                case PRODUCT -> result * next;
                case MIN -> Math.min(result, next);
                case MAX -> Math.max(result, next);
                default -> result + next;
            };
        }
        return kind == ReduceOp.Kind.AVG ? result / ranks : result;
    }

    /** Overwrites all elements. */
    static void fill(HostBuffer buffer, IntToDoubleFunction values) {
        int from = buffer.offset();
        for (int i = 0; i < buffer.size(); i++) {
            double value = values.applyAsDouble(i);
            int at = from + i;
            switch (buffer.type()) {
                case F64 -> buffer.doubles()[at] = value;
                case F32 -> buffer.floats()[at] = (float) value;
                case BF16 -> buffer.shorts()[at] = Half.floatToBf16((float) value);
                case F16 -> buffer.shorts()[at] = Half.floatToF16((float) value);
                case I64 -> buffer.longs()[at] = (long) value;
                case I32 -> buffer.ints()[at] = (int) (long) value;
                case F8_E4M3 -> buffer.byteArray()[at] = Fp8.floatToE4m3((float) value);
                case F8_E5M2 -> buffer.byteArray()[at] = Fp8.floatToE5m2((float) value);
                case I8, U8 -> buffer.byteArray()[at] = (byte) (long) value;
            }
        }
    }

    /** How many elements are not {@code expected}, rounded to their type. */
    static long wrong(HostBuffer buffer, IntToDoubleFunction expected) {
        long wrong = 0;
        for (int i = 0; i < buffer.size(); i++) {
            // Compared as numbers: a NaN is wrong, zeros of both signs are right.
            if (!(buffer.get(i) == rounded(buffer.type(), expected.applyAsDouble(i)))) {
                wrong++;
            }
        }
        return wrong;
    }

    /** {@code value} as an element of {@code type} keeps it; whole numbers wrap. */
    private static double rounded(DataType type, double value) {
        return switch (type) {
            case F64, I64 -> value;
            case F32 -> (float) value;
            case BF16 -> Half.bf16ToFloat(Half.floatToBf16((float) value));
            case F16 -> Half.f16ToFloat(Half.floatToF16((float) value));
            case F8_E4M3 -> Fp8.e4m3ToFloat(Fp8.floatToE4m3((float) value));
            case F8_E5M2 -> Fp8.e5m2ToFloat(Fp8.floatToE5m2((float) value));
            case I32 -> (int) (long) value;
            case I8 -> (byte) (long) value;
            case U8 -> (long) value & 0xff;
        };
    }
}
