package org.lockstep.simd;

/**
 * Whether the vectors of one kernel have become faster than plain Java: the JIT takes its time, and an interpreted vector
 * operation takes about a microsecond. The fields may be written by several threads at once: a lost measurement is made again.
 */
final class Trial {
    private static final int DOSE = 32; // columns
    static final int LEAST = 8; // to compare by: a short head has sixteen columns

    /** In a row: a thread that loses its core while plain Java works makes one of them. */
    private static final int WINS = 4;

    private static final long AHEAD_NANOS = 10_000_000; // that the trial may have taken more than its part

    boolean over;
    private long tried;
    private long worked;
    private int plainCount; // of the last call to plain Java that was not cut
    private long plainNanos;
    private int wins;

    /** How many of {@code count} columns go to the vectors for a trial: some, while that takes no more than half of the time. */
    int dose(int count) {
        return tries() ? Math.min(count / 2, DOSE) : 0;
    }

    /** Whether a call that cannot be cut goes to the vectors. */
    boolean tries() {
        return tried < worked + AHEAD_NANOS;
    }

    /** What a call that was not cut has taken. */
    void measured(boolean vectors, int count, long nanos) {
        if (!vectors) {
            worked += nanos;
            plainCount = count;
            plainNanos = nanos;
            return;
        }
        tried += nanos;
        if (plainCount >= LEAST && count >= LEAST) {
            judge(nanos * plainCount < plainNanos * count);
        }
    }

    void measured(int dose, long doseNanos, int rest, long restNanos) {
        tried += doseNanos;
        worked += restNanos;
        if (dose >= LEAST && rest >= LEAST) {
            judge(doseNanos * rest < restNanos * dose);
        }
    }

    private void judge(boolean won) {
        wins = won ? wins + 1 : 0;
        over = wins >= WINS;
    }
}
