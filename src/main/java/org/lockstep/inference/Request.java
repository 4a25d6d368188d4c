package org.lockstep.inference;

import java.util.Arrays;

/**
 * A prompt to complete. Immutable; the array is not copied and not to be changed.
 *
 * @param id number of the row among all rows of the run; with the seed it decides the random numbers
 * @param prompt token ids, at least one
 * @param params how to complete it
 */
@SuppressWarnings("ArrayRecordComponent") // travels and is read once; copies would only cost
public record Request(long id, int[] prompt, SamplingParams params) {
    @Override
    public boolean equals(Object other) {
        return other instanceof Request that
                && id == that.id
                && Arrays.equals(prompt, that.prompt)
                && params.equals(that.params);
    }

    @Override
    public int hashCode() {
        return Long.hashCode(id) * 31 + Arrays.hashCode(prompt);
    }

    @Override
    public String toString() {
        return "request " + id + " of " + prompt.length + " tokens";
    }
}
