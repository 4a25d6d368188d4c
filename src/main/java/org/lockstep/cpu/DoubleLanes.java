package org.lockstep.cpu;

import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.HostBuffer;

/** f64. */
final class DoubleLanes implements Reduction.Lanes {
    private final double[][] stack;

    DoubleLanes(int levels, int run) {
        this.stack = new double[levels][run];
    }

    @Override
    public void load(int level, HostBuffer source, int from, int count) {
        System.arraycopy(source.doubles(), source.offset() + from, stack[level], 0, count);
    }

    @Override
    public void absorb(int level, HostBuffer source, int from, int count, ReduceOp.Kind op) {
        join(stack[level], source.doubles(), source.offset() + from, count, op);
    }

    @Override
    public void join(int level, int count, ReduceOp.Kind op) {
        join(stack[level], stack[level + 1], 0, count, op);
    }

    private static void join(double[] left, double[] right, int at, int count, ReduceOp.Kind op) {
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

    @Override
    public void store(HostBuffer target, int from, int count, int divisor) {
        double[] result = stack[0];
        double[] out = target.doubles();
        int at = target.offset() + from;
        for (int i = 0; i < count; i++) {
            double value = result[i] / divisor; // by 1 it is exact
            out[at + i] = Double.isNaN(value) ? Double.NaN : value;
        }
    }
}
