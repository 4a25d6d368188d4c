package org.lockstep.collective;

import java.util.Locale;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Fp8;
import org.lockstep.tensor.Half;

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
     * only. The factor is rounded to the type of the elements, as NCCL does, and so is the product.
     */
    public static ReduceOp premultipliedSum(double factor) {
        return new ReduceOp(Kind.PREMULTIPLIED_SUM, factor);
    }

    /** The same for elements of that type, to which the factor is rounded. */
    ReduceOp of(DataType type) {
        return kind == Kind.PREMULTIPLIED_SUM ? premultipliedSum(rounded(type)) : this;
    }

    private double rounded(DataType type) {
        float narrow = (float) factor;
        return switch (type) {
            case F32 -> narrow;
            case BF16 -> Half.bf16ToFloat(Half.floatToBf16(narrow));
            case F16 -> Half.f16ToFloat(Half.floatToF16(narrow));
            case F8_E4M3 -> Fp8.e4m3ToFloat(Fp8.floatToE4m3(narrow));
            case F8_E5M2 -> Fp8.e5m2ToFloat(Fp8.floatToE5m2(narrow));
            case F64, I64, I32, I8, U8 -> factor;
        };
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
