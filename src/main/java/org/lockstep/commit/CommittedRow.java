package org.lockstep.commit;

import org.jspecify.annotations.Nullable;

/**
 * What became of one row.
 *
 * @param id number of the row in the input, 0 or more
 * @param text of the completion; null where there is an error
 * @param finishReason why the completion ended; null where there is an error
 * @param promptTokens tokens of the prompt; 0 where there is an error
 * @param outputTokens tokens of the completion; 0 where there is an error
 * @param error why there is no completion; null where there is one
 */
public record CommittedRow(
        long id,
        @Nullable String text,
        @Nullable String finishReason,
        int promptTokens,
        int outputTokens,
        @Nullable String error) {

    /** A row that has its completion. */
    public static CommittedRow completed(
            long id, String text, String finishReason, int promptTokens, int outputTokens) {
        return new CommittedRow(id, text, finishReason, promptTokens, outputTokens, null);
    }

    /** A row that has none. */
    public static CommittedRow failed(long id, String error) {
        return new CommittedRow(id, null, null, 0, 0, error);
    }

    /** Characters, about what it takes in memory and in a segment. */
    int weight() {
        return (text == null ? 0 : text.length()) + (error == null ? 0 : error.length()) + 64;
    }
}
