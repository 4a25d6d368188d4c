package org.lockstep.cpu;

import org.lockstep.tensor.Half;
import org.lockstep.tensor.HostBuffer;

/** From the floating types that weights are stored in to the one they are computed in. Exact but for f64. */
final class Widening {
    private Widening() {}

    /** Widens elements {@code from} to {@code from + count - 1} of {@code source}, into {@code target} from {@code at}. */
    static void widen(HostBuffer source, int from, int count, float[] target, int at) {
        int start = source.offset() + from;
        switch (source.type()) {
            case F32 -> System.arraycopy(source.floats(), start, target, at, count);
            case BF16 -> widenBf16(source.shorts(), start, count, target, at);
            case F16 -> widenF16(source.shorts(), start, count, target, at);
            case F64 -> {
                double[] doubles = source.doubles();
                for (int i = 0; i < count; i++) {
                    target[at + i] = (float) doubles[start + i];
                }
            }
            default ->
                throw new IllegalArgumentException("weights of " + source.type() + " are not f32, bf16, f16 or f64");
        }
    }

    private static void widenBf16(short[] source, int from, int count, float[] target, int at) {
        for (int i = 0; i < count; i++) {
            target[at + i] = Float.intBitsToFloat(source[from + i] << 16);
        }
    }

    private static void widenF16(short[] source, int from, int count, float[] target, int at) {
        for (int i = 0; i < count; i++) {
            short bits = source[from + i];
            // A half's exponent field read as a float's is 112 too small, for subnormals too; infinities are the
            // exception.
            target[at + i] = (bits & 0x7c00) == 0x7c00
                    ? Half.f16ToFloat(bits)
                    : Float.intBitsToFloat((bits & 0x8000) << 16 | (bits & 0x7fff) << 13) * 0x1p112f;
        }
    }
}
