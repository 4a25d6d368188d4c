package org.lockstep.inference;

import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * Whether a row's prompt can be completed; a bad one is that row's error and harms no other. Confined to its tokenizer's
 * thread.
 */
public final class PromptCheck {
    private static final int[] NONE = {};

    private final Tokenizer tokenizer;
    private final int maxModelLength;

    /**
     * A check against these limits.
     *
     * @param maxModelLength most tokens of prompt and output together
     */
    public PromptCheck(Tokenizer tokenizer, int maxModelLength) {
        this.tokenizer = tokenizer;
        this.maxModelLength = maxModelLength;
    }

    /**
     * What became of one prompt. The array is not copied.
     *
     * @param ids token ids; empty if there is an error
     * @param error as the error contract words it, for the row's error column; null if all is well
     */
    @SuppressWarnings("ArrayRecordComponent") // handed on to a Request at once
    public record Result(int[] ids, @Nullable String error) {}

    /** Tokenises a prompt, or says why not: PROMPT_NULL, PROMPT_EMPTY, PROMPT_TOO_LONG, or the tokenizer's error. */
    public Result check(@Nullable String prompt) {
        if (prompt == null) {
            return error(ErrorCode.PROMPT_NULL, "the prompt is null");
        }
        int[] ids;
        try {
            ids = tokenizer.encode(prompt);
        } catch (LockstepException e) {
            return new Result(NONE, e.getMessage());
        }
        if (ids.length == 0) {
            return error(ErrorCode.PROMPT_EMPTY, "the prompt has no tokens, and this model puts none before it");
        }
        if (ids.length >= maxModelLength) {
            return error(
                    ErrorCode.PROMPT_TOO_LONG,
                    "prompt (" + ids.length + " tokens) + 1 to generate exceeds max-model-len (" + maxModelLength
                            + ")");
        }
        return new Result(ids, null);
    }

    private static Result error(ErrorCode code, String summary) {
        return new Result(
                NONE, LockstepException.report(code, summary).exception().getMessage());
    }
}
