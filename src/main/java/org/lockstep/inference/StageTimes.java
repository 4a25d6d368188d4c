package org.lockstep.inference;

/**
 * How a rank spent the time of its runs.
 *
 * @param nanos from the beginning of a run to its end, over all runs
 * @param computeNanos of these, in its layers (waits of its tensor group included) and in sampling
 */
public record StageTimes(long nanos, long computeNanos) {
    /** Time in which it waited for neighbours, plans, tokens or requests, or made a plan. */
    public long waitNanos() {
        return nanos - computeNanos;
    }

    /** The measured pipeline bubble: the share of its time in which it did not compute; 0 before the first run. */
    public double bubble() {
        return nanos == 0 ? 0 : (double) waitNanos() / nanos;
    }
}
