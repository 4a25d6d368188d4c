package org.lockstep;

import java.time.Duration;

/**
 * A time that a test must see run out, though not before all others are where they should be by then. Who does not run for as long
 * is late as well, and nothing is wrong; so what fails with a short time is tried once more with a far longer one. What the code
 * does wrong it does with both, and where all is well the test takes the short one.
 */
public final class LongEnough {
    private LongEnough() {}

    /** What must hold with such a time. */
    @FunctionalInterface
    public interface Check {
        void with(Duration time) throws Exception;
    }

    /** Fails if {@code check} does with both times; says so where it did with the first. */
    public static void oneOf(Duration first, Duration second, Check check) throws Exception {
        try {
            check.with(first);
        } catch (AssertionError late) {
            System.out.println("not with " + first + ", which may have been too short: " + late);
            check.with(second);
        }
    }
}
