package org.lockstep.cpu;

import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;

/**
 * The element-wise reduction of the ranks' buffers, in the one order that every transport and every rank uses.
 *
 * <p>Elements are added in a balanced binary tree over the ranks. The tree is walked as a binary counter counts: each
 * further rank is an addition of 1, each carry joins two subtrees of equal size, and what is left is joined from the
 * right. A run of {@value #RUN} elements at a time, so that the log2(n) subtrees stay in the cache. Floating elements of 16
 * and 8 bits are widened to f32 and rounded once; integers of 8 bits are added as int, which is the same modulo 256. A result that is not a
 * number is the canonical NaN, for the bits of another would depend on how the JIT ordered its operands.
 *
 * <p>Keeps its scratch, and what it joins into, so that no operation allocates for it; confined to one thread.
 */
final class Reduction implements Mesh.Fold {
    private static final int RUN = 1024;

    private final int levels;
    private final @Nullable Lanes[] lanes = new @Nullable Lanes[4];
    private @Nullable HostBuffer total;
    private @Nullable Joining joined;

    /** For groups of up to {@code size} ranks. */
    Reduction(int size) {
        this.levels = 33 - Integer.numberOfLeadingZeros(size);
    }

    /** What joins into {@code target} from now on. */
    Mesh.Fold into(HostBuffer target, Joining joining) {
        if (total != target) { // the same as before, mostly, and storing a reference costs a fence
            total = target;
        }
        if (!joining.equals(joined)) {
            joined = joining;
        }
        return this;
    }

    @Override
    public void join(HostBuffer[] sources, int[] at, int from, int count) {
        reduce(sources, at, Objects.requireNonNull(total), from, count, Objects.requireNonNull(joined));
    }

    /**
     * Reduces {@code length} elements of {@code sources}, one a rank and in their order, into {@code target} from
     * {@code start} on, which may be elements of one of them.
     *
     * @param sources of target's type
     * @param at where the elements begin in each source
     */
    void reduce(HostBuffer[] sources, int[] at, HostBuffer target, int start, int length, Joining joining) {
        ReduceOp.Kind op = joining.kind();
        int divisor = joining.divisor();
        Lanes run = lanes(target);
        if (sources.length == 2 && divisor == 1 && run.joinTwo(sources, at, target, start, length, op)) {
            return;
        }
        int count;
        for (int from = 0; from < length; from += count) { // a whole RUN more than the last can be beyond an int
            count = Math.min(RUN, length - from);
            int depth = 0;
            for (int rank = 0; rank < sources.length; rank += 2) {
                if (rank + 1 == sources.length) {
                    run.load(depth++, sources[rank], at[rank] + from, count);
                    break;
                }
                run.join(depth++, sources[rank], at[rank] + from, sources[rank + 1], at[rank + 1] + from, count, op);
                depth = carry(run, depth, rank / 2 + 1, count, op);
            }
            joinAll(run, depth, count, op);
            run.store(target, start + from, count, divisor);
        }
    }

    /** Joins what the addition of 1 carries, where {@code subtrees} of the last one's size are there; the depth after it. */
    private static int carry(Lanes run, int depth, int subtrees, int count, ReduceOp.Kind op) {
        int left = depth;
        for (int carry = subtrees; (carry & 1) == 0; carry >>= 1) {
            left--;
            run.join(left - 1, count, op);
        }
        return left;
    }

    /** Joins what is left, from the right. */
    private static void joinAll(Lanes run, int depth, int count, ReduceOp.Kind op) {
        for (int left = depth; left > 1; left--) {
            run.join(left - 2, count, op);
        }
    }

    /** Ends the reduction into all of {@code target}: only now its bits are final. */
    void finish(HostBuffer target) {
        lanes(target).finish(target);
    }

    private Lanes lanes(HostBuffer target) {
        int kind = switch (target.type()) {
            case F32, BF16, F16, F8_E4M3, F8_E5M2 -> 0;
            case F64 -> 1;
            case I32, I8, U8 -> 2;
            case I64 -> 3;
        };
        Lanes found = lanes[kind];
        if (found == null) {
            found = switch (kind) {
                case 0 -> new FloatLanes(levels, RUN);
                case 1 -> new DoubleLanes(levels, RUN);
                case 2 -> new IntLanes(levels, RUN);
                default -> new LongLanes(levels, RUN);
            };
            lanes[kind] = found;
        }
        return found;
    }

    /** A stack of partial results of one run, of one machine type. Level 0 is the leftmost subtree. */
    interface Lanes {
        /**
         * Joins two sources into {@code target} from {@code start} on at once, if it can: it then also stored them.
         *
         * @param target may be one of them, at the same elements
         */
        default boolean joinTwo(
                HostBuffer[] sources, int[] at, HostBuffer target, int start, int length, ReduceOp.Kind op) {
            return false;
        }

        /** Puts a source's run on a level. */
        void load(int level, HostBuffer source, int from, int count);

        /** Joins a source's run into a level, from the right. */
        void absorb(int level, HostBuffer source, int from, int count, ReduceOp.Kind op);

        /** Joins the runs of two sources on a level. */
        default void join(
                int level,
                HostBuffer left,
                int leftFrom,
                HostBuffer right,
                int rightFrom,
                int count,
                ReduceOp.Kind op) {
            load(level, left, leftFrom, count);
            absorb(level, right, rightFrom, count, op);
        }

        /** Joins the level above into a level, from the right. */
        void join(int level, int count, ReduceOp.Kind op);

        /** Writes level 0, divided by {@code divisor}. */
        void store(HostBuffer target, int from, int count, int divisor);

        /** Ends a reduction: makes what is not a number in {@code target}, all of which was stored, the canonical NaN. */
        void finish(HostBuffer target);
    }
}
