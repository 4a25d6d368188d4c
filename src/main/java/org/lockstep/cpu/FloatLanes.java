package org.lockstep.cpu;

import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Half;
import org.lockstep.tensor.HostBuffer;

/** f32, and the 16-bit types widened to it. */
final class FloatLanes implements Reduction.Lanes {
    private final float[][] stack;
    private final float[] wide;

    FloatLanes(int levels, int run) {
        this.stack = new float[levels][run];
        this.wide = new float[run];
    }

    @Override
    public void load(int level, HostBuffer source, int from, int count) {
        widen(source, from, count, stack[level]);
    }

    @Override
    public void absorb(int level, HostBuffer source, int from, int count, ReduceOp.Kind op) {
        if (source.type() == DataType.F32) {
            join(stack[level], source.floats(), source.offset() + from, count, op);
        } else {
            widen(source, from, count, wide);
            join(stack[level], wide, 0, count, op);
        }
    }

    @Override
    public void join(int level, int count, ReduceOp.Kind op) {
        join(stack[level], stack[level + 1], 0, count, op);
    }

    private static void join(float[] left, float[] right, int at, int count, ReduceOp.Kind op) {
        switch (op) {
            case SUM, AVG, PREMULTIPLIED_SUM -> {
                for (int i = 0; i < count; i++) {
                    left[i] += right[at + i];
                }
            }
            case PRODUCT -> {
                for (int i = 0; i < count; i++) {
                    left[i] *= right[at + i];
                }
            }
            case MIN -> {
                for (int i = 0; i < count; i++) {
                    left[i] = Math.min(left[i], right[at + i]);
                }
            }
            case MAX -> {
                for (int i = 0; i < count; i++) {
                    left[i] = Math.max(left[i], right[at + i]);
                }
            }
        }
    }

    private static void widen(HostBuffer source, int from, int count, float[] out) {
        int at = source.offset() + from;
        switch (source.type()) {
            case F32 -> System.arraycopy(source.floats(), at, out, 0, count);
            case BF16 -> {
                short[] bits = source.shorts();
                for (int i = 0; i < count; i++) {
                    out[i] = Half.bf16ToFloat(bits[at + i]);
                }
            }
            default -> {
                short[] bits = source.shorts();
                for (int i = 0; i < count; i++) {
                    out[i] = Half.f16ToFloat(bits[at + i]);
                }
            }
        }
    }

    @Override
    public void store(HostBuffer target, int from, int count, int divisor) {
        float[] result = stack[0];
        if (divisor != 1) {
            for (int i = 0; i < count; i++) {
                result[i] /= divisor;
            }
        }
        int at = target.offset() + from;
        switch (target.type()) {
            case F32 -> {
                float[] out = target.floats();
                for (int i = 0; i < count; i++) {
                    float value = result[i];
                    out[at + i] = Float.isNaN(value) ? Float.NaN : value;
                }
            }
            case BF16 -> {
                short[] out = target.shorts();
                for (int i = 0; i < count; i++) {
                    float value = result[i];
                    out[at + i] = Half.floatToBf16(Float.isNaN(value) ? Float.NaN : value);
                }
            }
            default -> {
                short[] out = target.shorts();
                for (int i = 0; i < count; i++) {
                    float value = result[i];
                    out[at + i] = Half.floatToF16(Float.isNaN(value) ? Float.NaN : value);
                }
            }
        }
    }
}
