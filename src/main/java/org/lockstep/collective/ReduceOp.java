package org.lockstep.collective;

import java.util.Locale;

/**
 * How a reduction joins elements: what NCCL offers.
 *
 * @param kind of join; equal on all ranks of an operation
 * @param factor of {@link Kind#PREMULTIPLIED_SUM}, by which this rank multiplies its own elements first; 1 for all others
 */
public record ReduceOp(Kind kind, double factor) {
    public static final ReduceOp SUM = new ReduceOp(Kind.SUM, 1);
    public static final ReduceOp PRODUCT = new ReduceOp(Kind.PRODUCT, 1);
    public static final ReduceOp MIN = new ReduceOp(Kind.MIN, 1);
    public static final ReduceOp MAX = new ReduceOp(Kind.MAX, 1);

    /** The sum divided by the size of the group; floating types only. */
    public static final ReduceOp AVG = new ReduceOp(Kind.AVG, 1);

    /** The joins. */
    public enum Kind {
        SUM,
        PRODUCT,
        MIN,
        MAX,
        AVG,
        PREMULTIPLIED_SUM;

        private final String label = name().toLowerCase(Locale.ROOT);

        @Override
        public String toString() {
            return label;
        }
    }

    public ReduceOp {
        if (kind != Kind.PREMULTIPLIED_SUM && factor != 1) {
            throw new IllegalArgumentException(kind + " has no factor (" + factor + ")");
        }
    }

    /**
     * The sum of each rank's elements times that rank's {@code factor}, which may differ from rank to rank; floating types
     * only. The factor is rounded to f32 but for f64, by NCCL to the type of the elements; the product is, to that type.
     */
    public static ReduceOp premultipliedSum(double factor) {
        return new ReduceOp(Kind.PREMULTIPLIED_SUM, factor);
    }

    /** Whether it is defined for floating types only. */
    public boolean needsFloating() {
        return kind == Kind.AVG || kind == Kind.PREMULTIPLIED_SUM;
    }

    @Override
    public String toString() {
        return kind == Kind.PREMULTIPLIED_SUM ? kind + "(" + factor + ")" : kind.toString();
    }
}
