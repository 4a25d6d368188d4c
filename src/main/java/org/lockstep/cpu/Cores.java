package org.lockstep.cpu;

import java.io.Serializable;

/**
 * How many cores a rank computes on: a number of its own, or its part of what the ranks of its JVM share, whose number is
 * known only after the meeting. Immutable; travels to the tasks.
 *
 * @param count cores, at least 1
 * @param shared whether the ranks of this JVM divide them
 */
public record Cores(int count, boolean shared) implements Serializable {
    public Cores {
        if (count < 1) {
            throw new IllegalArgumentException("cores (" + count + ") must be at least 1");
        }
    }

    /** So many for each rank. */
    public static Cores exactly(int count) {
        return new Cores(count, false);
    }

    /** So many for all ranks of a JVM, in equal parts of at least one. */
    public static Cores shared(int total) {
        return new Cores(total, true);
    }

    /** The cores of one of {@code ranks} in this JVM. */
    public int of(int ranks) {
        return shared ? Math.max(1, count / ranks) : count;
    }
}
