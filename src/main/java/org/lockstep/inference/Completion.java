package org.lockstep.inference;

import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * What a request became. Immutable; the array is not copied and not to be changed.
 *
 * @param id of the request
 * @param text of the output without the prompt, and without what ended it unless that was asked for; empty if the replica has
 *     no tokenizer
 * @param tokens of the output, with the end token where there was one; none where nobody wanted them brought along
 * @param outputTokens how many there were
 * @param finishReason why it ended
 * @param stopReason the stop string, or the id of the stop token in digits; null for the model's own end token, for LENGTH and
 *     for ERROR
 * @param promptTokens tokens of the prompt
 */
@SuppressWarnings("ArrayRecordComponent") // travels and is read once; copies would only cost
public record Completion(
        long id,
        String text,
        int[] tokens,
        int outputTokens,
        FinishReason finishReason,
        @Nullable String stopReason,
        int promptTokens) {
    private static final int[] NONE = {};

    public Completion {
        if (tokens.length != 0 && tokens.length != outputTokens) {
            throw new IllegalArgumentException(
                    tokens.length + " tokens of completion " + id + ", which put out " + outputTokens);
        }
    }

    /** With all its tokens. */
    Completion(
            long id,
            String text,
            int[] tokens,
            FinishReason finishReason,
            @Nullable String stopReason,
            int promptTokens) {
        this(id, text, tokens, tokens.length, finishReason, stopReason, promptTokens);
    }

    /** The same without its tokens: of many completions they are much of the memory, and of what travels. */
    public Completion withoutTokens() {
        return new Completion(id, text, NONE, outputTokens, finishReason, stopReason, promptTokens);
    }

    /** What went wrong, as the error contract words it; null if nothing did. */
    public @Nullable String error() {
        return finishReason != FinishReason.ERROR
                ? null
                : LockstepException.report(
                                ErrorCode.NO_TOKEN,
                                "no token to choose after " + promptTokens + " + " + outputTokens
                                        + " tokens: NaN or an infinity among the logits, or the row's own minTokens, stop"
                                        + " tokens and penalties leave none")
                        .attempt("the row without those; if it is so in many rows, the weights: a sound model gives"
                                + " finite logits")
                        .exception()
                        .getMessage();
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Completion that
                && id == that.id
                && promptTokens == that.promptTokens
                && outputTokens == that.outputTokens
                && text.equals(that.text)
                && Arrays.equals(tokens, that.tokens)
                && finishReason == that.finishReason
                && Objects.equals(stopReason, that.stopReason);
    }

    @Override
    public int hashCode() {
        return Long.hashCode(id) * 31 + Arrays.hashCode(tokens);
    }

    @Override
    public String toString() {
        return "completion " + id + " (" + promptTokens + " + " + outputTokens + " tokens, " + finishReason + ") "
                + text;
    }
}
