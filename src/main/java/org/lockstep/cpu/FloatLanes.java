package org.lockstep.cpu;

import org.lockstep.collective.ReduceOp;
import org.lockstep.simd.Sums;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Fp8;
import org.lockstep.tensor.Half;
import org.lockstep.tensor.HostBuffer;

/**
 * f32, and the floating types of 16 and 8 bits widened to it.
 *
 * <p>Every loop is over whole arrays from 0 on: those the JIT of Java 17 turns into vector instructions, and others not.
 */
final class FloatLanes implements Reduction.Lanes {
    private final float[][] stack;
    private final float[] wide;
    private final Sums sums = Sums.create();

    FloatLanes(int levels, int run) {
        this.stack = new float[levels][run];
        this.wide = new float[run];
    }

    @Override
    public boolean joinTwo(HostBuffer[] sources, int[] at, HostBuffer target, int start, int length, ReduceOp.Kind op) {
        if (!adds(op) || target.type() != DataType.F32) {
            return false;
        }
        add(sources[0], at[0], sources[1], at[1], target.floats(), target.offset() + start, length);
        return true;
    }

    private static boolean adds(ReduceOp.Kind op) {
        return op == ReduceOp.Kind.SUM || op == ReduceOp.Kind.AVG || op == ReduceOp.Kind.PREMULTIPLIED_SUM;
    }

    private void add(HostBuffer left, int leftAt, HostBuffer right, int rightAt, float[] out, int outAt, int count) {
        sums.add(left.floats(), left.offset() + leftAt, right.floats(), right.offset() + rightAt, out, outAt, count);
    }

    @Override
    public void join(
            int level, HostBuffer left, int leftFrom, HostBuffer right, int rightFrom, int count, ReduceOp.Kind op) {
        if (adds(op) && left.type() == DataType.F32) {
            add(left, leftFrom, right, rightFrom, stack[level], 0, count);
        } else {
            Reduction.Lanes.super.join(level, left, leftFrom, right, rightFrom, count, op);
        }
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
            case SUM, AVG, PREMULTIPLIED_SUM -> Sums.add(left, right, count);
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
            case F8_E4M3 -> {
                byte[] bits = source.byteArray();
                for (int i = 0; i < count; i++) {
                    out[i] = Fp8.e4m3ToFloat(bits[at + i]);
                }
            }
            case F8_E5M2 -> {
                byte[] bits = source.byteArray();
                for (int i = 0; i < count; i++) {
                    out[i] = Fp8.e5m2ToFloat(bits[at + i]);
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
                sums.watch(result, count);
                System.arraycopy(result, 0, target.floats(), at, count);
            }
            case BF16 -> {
                short[] out = target.shorts();
                for (int i = 0; i < count; i++) {
                    float value = result[i];
                    out[at + i] = Half.floatToBf16(Float.isNaN(value) ? Float.NaN : value);
                }
            }
            case F8_E4M3 -> {
                byte[] out = target.byteArray();
                for (int i = 0; i < count; i++) {
                    float value = result[i];
                    out[at + i] = Fp8.floatToE4m3(Float.isNaN(value) ? Float.NaN : value);
                }
            }
            case F8_E5M2 -> {
                byte[] out = target.byteArray();
                for (int i = 0; i < count; i++) {
                    float value = result[i];
                    out[at + i] = Fp8.floatToE5m2(Float.isNaN(value) ? Float.NaN : value);
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

    @Override
    public void finish(HostBuffer target) {
        boolean odd = sums.sawOdd(); // asked in any case: the next reduction has others
        if (odd && target.type() == DataType.F32) {
            float[] all = target.floats();
            for (int i = target.offset(); i < target.offset() + target.size(); i++) {
                all[i] = Float.isNaN(all[i]) ? Float.NaN : all[i];
            }
        }
    }
}
