package org.lockstep.cpu;

import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.HostBuffer;

/** i64; sums wrap as Java's do. */
final class LongLanes implements Reduction.Lanes {
    private final long[][] stack;
    private final long[] other;

    LongLanes(int levels, int run) {
        this.stack = new long[levels][run];
        this.other = new long[run];
    }

    @Override
    public void load(int level, HostBuffer source, int from, int count) {
        System.arraycopy(source.longs(), source.offset() + from, stack[level], 0, count);
    }

    @Override
    public void absorb(int level, HostBuffer source, int from, int count, ReduceOp.Kind op) {
        System.arraycopy(source.longs(), source.offset() + from, other, 0, count);
        join(stack[level], other, count, op);
    }

    @Override
    public void join(int level, int count, ReduceOp.Kind op) {
        join(stack[level], stack[level + 1], count, op);
    }

    private static void join(long[] left, long[] right, int count, ReduceOp.Kind op) {
        switch (op) {
            case SUM -> {
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
            case AVG, PREMULTIPLIED_SUM -> throw new AssertionError("refused before: " + op + " is for floating types");
        }
    }

    @Override
    public void store(HostBuffer target, int from, int count, int divisor) {
        System.arraycopy(stack[0], 0, target.longs(), target.offset() + from, count);
    }

    @Override
    public void finish(HostBuffer target) {}
}
