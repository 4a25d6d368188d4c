package org.lockstep.cpu;

import java.util.Arrays;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.Half;
import org.lockstep.tensor.HostBuffer;

/**
 * f32, and the 16-bit types widened to it.
 *
 * <p>Every loop is over whole arrays from 0 on: those the JIT of Java 17 turns into vector instructions, and others not. So
 * is the search for what is not a number: each result times 0 is added up, which stays 0 for numbers.
 */
final class FloatLanes implements Reduction.Lanes {
    private final float[][] stack;
    private final float[] wide;
    private final float[] odd;
    private int seen; // entries of odd in use

    FloatLanes(int levels, int run) {
        this.stack = new float[levels][run];
        this.wide = new float[run];
        this.odd = new float[run];
    }

    @Override
    public void load(int level, HostBuffer source, int from, int count) {
        widen(source, from, count, stack[level]);
    }

    @Override
    public void absorb(int level, HostBuffer source, int from, int count, ReduceOp.Kind op) {
        widen(source, from, count, wide);
        join(stack[level], wide, count, op);
    }

    @Override
    public void join(int level, int count, ReduceOp.Kind op) {
        join(stack[level], stack[level + 1], count, op);
    }

    private static void join(float[] left, float[] right, int count, ReduceOp.Kind op) {
        switch (op) {
            case SUM, AVG, PREMULTIPLIED_SUM -> add(left, right, count);
            case PRODUCT -> {
                for (int i = 0; i < count; i++) {
                    left[i] *= right[i];
                }
            }
            case MIN -> {
                for (int i = 0; i < count; i++) {
                    left[i] = Math.min(left[i], right[i]);
                }
            }
            case MAX -> {
                for (int i = 0; i < count; i++) {
                    left[i] = Math.max(left[i], right[i]);
                }
            }
        }
    }

    private static void add(float[] left, float[] right, int count) {
        for (int i = 0; i < count; i++) {
            left[i] += right[i];
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
                watch(odd, result, count);
                seen = Math.max(seen, count);
                System.arraycopy(result, 0, target.floats(), at, count);
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

    private static void watch(float[] odd, float[] result, int count) {
        for (int i = 0; i < count; i++) {
            odd[i] += result[i] * 0f;
        }
    }

    @Override
    public void finish(HostBuffer target) {
        float sum = 0;
        for (int i = 0; i < seen; i++) {
            sum += odd[i];
        }
        if (sum != 0) { // also where it is not a number
            float[] all = target.floats();
            for (int i = target.offset(); i < target.offset() + target.size(); i++) {
                all[i] = Float.isNaN(all[i]) ? Float.NaN : all[i];
            }
            Arrays.fill(odd, 0);
        }
        seen = 0;
    }
}
