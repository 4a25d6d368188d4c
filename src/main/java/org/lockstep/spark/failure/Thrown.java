package org.lockstep.spark.failure;

import java.io.Serial;
import java.io.Serializable;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * An exception as it travels from a task to the driver: its words and its stack, so that no class of a user's and no object
 * that it holds has to. Immutable.
 *
 * @param text its class and message
 * @param stack the innermost frames
 * @param cause what it was caused by, if anything
 */
record Thrown(
        String text,
        List<StackTraceElement> stack,
        @Nullable Thrown cause) implements Serializable {
    private static final int MOST_FRAMES = 64;
    private static final int MOST_CAUSES = 8;
    private static final int MOST_LETTERS = 4096;

    Thrown {
        stack = List.copyOf(stack);
    }

    static Thrown of(Throwable failure) {
        return of(failure, MOST_CAUSES);
    }

    private static Thrown of(Throwable failure, int causes) {
        String text = failure.toString();
        Throwable cause = failure.getCause();
        return new Thrown(
                text.length() > MOST_LETTERS ? text.substring(0, MOST_LETTERS) + "…" : text,
                Arrays.stream(failure.getStackTrace()).limit(MOST_FRAMES).toList(),
                cause == null || cause == failure || causes == 0 ? null : of(cause, causes - 1));
    }

    /** The exception on the driver, with the stack that it had in its task. */
    Throwable asThrowable() {
        return new Remote(this);
    }

    /** Shows itself under the name that it had. */
    private static final class Remote extends RuntimeException {
        @Serial
        private static final long serialVersionUID = 1;

        Remote(Thrown thrown) {
            super(thrown.text, thrown.cause == null ? null : thrown.cause.asThrowable());
            setStackTrace(thrown.stack.toArray(StackTraceElement[]::new));
        }

        @Override
        @SuppressWarnings("OverrideThrowableToString") // its message begins with the name of the class that it had
        public String toString() {
            return String.valueOf(getMessage());
        }
    }
}
