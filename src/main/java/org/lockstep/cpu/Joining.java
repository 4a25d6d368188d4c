package org.lockstep.cpu;

import org.lockstep.collective.ReduceOp;

/**
 * How a reduction joins what its ranks give. Immutable.
 *
 * @param kind by which; an average, or a sum of what was multiplied before, is a sum
 * @param divisor of the result
 */
record Joining(ReduceOp.Kind kind, int divisor) {
    /** That of an operation over so many ranks, which have multiplied what they give already. */
    static Joining of(ReduceOp.Kind kind, int ranks) {
        return new Joining(kind, kind == ReduceOp.Kind.AVG ? ranks : 1);
    }

    /** That of some of the ranks, whose result is joined further. */
    Joining partial() {
        return new Joining(kind, 1);
    }
}
