package org.lockstep.cli;

import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.WeightType;

/** vLLM's names of the types of weights, and q8. */
enum Dtype {
    AUTO,
    FLOAT32,
    BFLOAT16,
    FLOAT16,
    Q8;

    /** Null for weights as they are stored. */
    @Nullable
    WeightType weightType() {
        return switch (this) {
            case AUTO -> null;
            case FLOAT32 -> WeightType.F32;
            case BFLOAT16 -> WeightType.BF16;
            case FLOAT16 -> WeightType.F16;
            case Q8 -> WeightType.Q8;
        };
    }
}
