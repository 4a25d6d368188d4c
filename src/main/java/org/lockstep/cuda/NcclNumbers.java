package org.lockstep.cuda;

import com.sun.jna.Memory;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Fp8;
import org.lockstep.tensor.Half;

/** What NCCL's header has for types, reductions and factors. */
final class NcclNumbers {
    private NcclNumbers() {}

    /** Of what is moved, not reduced: any bytes, where older libraries have no such type. */
    static int ofMoved(DataType type) {
        return of(type.isFp8() ? DataType.U8 : type);
    }

    static int of(DataType type) {
        return switch (type) {
            case I8 -> 0;
            case U8 -> 1;
            case I32 -> 2;
            case I64 -> 4;
            case F16 -> 6;
            case F32 -> 7;
            case F64 -> 8;
            case BF16 -> 9;
            case F8_E4M3 -> 10; // from 2.24 on
            case F8_E5M2 -> 11;
        };
    }

    /** Of those that have one: a premultiplied sum is made with its factor, as the sum that it is. */
    static int of(ReduceOp.Kind kind) {
        return switch (kind) {
            case SUM, PREMULTIPLIED_SUM -> 0;
            case PRODUCT -> 1;
            case MAX -> 2;
            case MIN -> 3;
            case AVG -> 4;
        };
    }

    /** A factor, in memory that the caller closes. */
    static Memory scalar(DataType type, double factor) {
        Memory scalar = new Memory(Long.BYTES);
        switch (type) {
            case F64 -> scalar.setDouble(0, factor);
            case F32 -> scalar.setFloat(0, (float) factor);
            case F16 -> scalar.setShort(0, Half.floatToF16((float) factor));
            case BF16 -> scalar.setShort(0, Half.floatToBf16((float) factor));
            case F8_E4M3 -> scalar.setByte(0, Fp8.floatToE4m3((float) factor));
            case F8_E5M2 -> scalar.setByte(0, Fp8.floatToE5m2((float) factor));
            default -> throw new IllegalArgumentException(type + " is not multiplied");
        }
        return scalar;
    }
}
