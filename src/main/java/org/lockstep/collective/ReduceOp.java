package org.lockstep.collective;

import java.util.Locale;

/** How a reduction joins two elements. */
public enum ReduceOp {
    SUM,
    MIN,
    MAX,
    /** The sum divided by the size of the group; floating types only. */
    AVG;

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
