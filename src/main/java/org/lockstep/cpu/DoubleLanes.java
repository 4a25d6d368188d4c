package org.lockstep.cpu;

import java.util.Arrays;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.HostBuffer;

/** f64; as {@link FloatLanes}. */
final class DoubleLanes implements Reduction.Lanes {
    private final double[][] stack;
    private final double[] other;
    private final double[] odd;
    private int seen; // entries of odd in use

    DoubleLanes(int levels, int run) {
        this.stack = new double[levels][run];
        this.other = new double[run];
        this.odd = new double[run];
    }

    @Override
    public void load(int level, HostBuffer source, int from, int count) {
        System.arraycopy(source.doubles(), source.offset() + from, stack[level], 0, count);
    }

    @Override
    public void absorb(int level, HostBuffer source, int from, int count, ReduceOp.Kind op) {
        System.arraycopy(source.doubles(), source.offset() + from, other, 0, count);
        join(stack[level], other, count, op);
    }

    @Override
    public void join(int level, int count, ReduceOp.Kind op) {
        join(stack[level], stack[level + 1], count, op);
    }

    private static void join(double[] left, double[] right, int count, ReduceOp.Kind op) {
        switch (op) {
            case SUM, AVG, PREMULTIPLIED_SUM -> {
                for (int i = 0; i < count; i++) {
                    left[i] += right[i];
                }
            }
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

    @Override
    public void store(HostBuffer target, int from, int count, int divisor) {
        double[] result = stack[0];
        if (divisor != 1) {
            for (int i = 0; i < count; i++) {
                result[i] /= divisor;
            }
        }
        for (int i = 0; i < count; i++) {
            odd[i] += result[i] * 0;
        }
        seen = Math.max(seen, count);
        System.arraycopy(result, 0, target.doubles(), target.offset() + from, count);
    }

    @Override
    public void finish(HostBuffer target) {
        double sum = 0;
        for (int i = 0; i < seen; i++) {
            sum += odd[i];
        }
        if (sum != 0) { // also where it is not a number
            double[] all = target.doubles();
            for (int i = target.offset(); i < target.offset() + target.size(); i++) {
                all[i] = Double.isNaN(all[i]) ? Double.NaN : all[i];
            }
            Arrays.fill(odd, 0);
        }
        seen = 0;
    }
}
