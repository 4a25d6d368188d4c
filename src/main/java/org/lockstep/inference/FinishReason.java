package org.lockstep.inference;

import java.util.Locale;

/** Why a completion ended; {@link #toString} gives vLLM's word. */
public enum FinishReason {
    /** An end token or a stop string. */
    STOP,
    /** The most tokens asked for, or the greatest length of the model. */
    LENGTH,
    /** There is no token that could be next. */
    ERROR;

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
