package org.lockstep.cli.bench;

import java.util.function.IntToDoubleFunction;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;

/**
 * One case on one rank, its buffers laid out: ready to be called, and its result to be checked. Confined to the rank's
 * thread.
 *
 * @param loop that calls it
 * @param input what this rank sends
 * @param output where this rank's result comes to
 * @param isStable whether a second call, upon the result of the first, has the same result
 */
record Exchange(Loop loop, Content input, Content output, boolean isStable) {
    private static final int NOTHING = -1;

    /**
     * A loop of its own for each operation, so that each is compiled for itself: nothing but calls in it.
     */
    @FunctionalInterface
    interface Loop {
        void repeat(int calls);
    }

    /**
     * A buffer and the elements it has, or must have.
     *
     * @param buffer null where this rank has none
     */
    record Content(@Nullable Buffer buffer, IntToDoubleFunction elements) {
        static Content none() {
            return new Content(null, index -> 0);
        }
    }

    /** Makes input and output as before a first call; no element of the output is right. */
    void prepare() {
        if (output.buffer != null) {
            fill(output.buffer, index -> NOTHING);
        }
        if (input.buffer != null) {
            fill(input.buffer, input.elements);
        }
    }

    private static void fill(Buffer buffer, IntToDoubleFunction elements) {
        HostBuffer values =
                buffer instanceof HostBuffer here ? here : HostBuffer.allocate(buffer.type(), buffer.length());
        Sample.fill(values, elements);
        if (values != buffer) {
            buffer.copyFrom(values);
        }
    }

    /** Elements of this rank's output that are not the result of one call. */
    long wrong() {
        return output.buffer == null ? 0 : Sample.wrong(output.buffer.toHost(), output.elements);
    }
}
