package org.lockstep.cpu;

import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/** i32, and i8 and u8 widened to it; sums wrap as Java's do. */
final class IntLanes implements Reduction.Lanes {
    private final int[][] stack;
    private final int[] wide;

    IntLanes(int levels, int run) {
        this.stack = new int[levels][run];
        this.wide = new int[run];
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

    private static void join(int[] left, int[] right, int count, ReduceOp.Kind op) {
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

    private static void widen(HostBuffer source, int from, int count, int[] out) {
        int at = source.offset() + from;
        if (source.type() == DataType.I32) {
            System.arraycopy(source.ints(), at, out, 0, count);
            return;
        }
        byte[] bytes = source.byteArray();
        int mask = source.type() == DataType.U8 ? 0xff : -1;
        for (int i = 0; i < count; i++) {
            out[i] = bytes[at + i] & mask;
        }
    }

    @Override
    public void store(HostBuffer target, int from, int count, int divisor) {
        int[] result = stack[0];
        int at = target.offset() + from;
        if (target.type() == DataType.I32) {
            System.arraycopy(result, 0, target.ints(), at, count);
            return;
        }
        byte[] out = target.byteArray();
        for (int i = 0; i < count; i++) {
            out[at + i] = (byte) result[i];
        }
    }

    @Override
    public void finish(HostBuffer target) {}
}
