package org.lockstep.cli;

import java.util.List;
import java.util.function.BiFunction;
import org.jspecify.annotations.Nullable;
import org.lockstep.inference.SamplingParams;
import picocli.CommandLine.Option;

/** How tokens are chosen, under vLLM's names. */
@OptionGroup("Sampling")
final class SamplingOptions {
    /** For stories of the bundled model. */
    private static final SamplingParams STORIES =
            SamplingParams.DEFAULT.withTemperature(0.8).withTopP(0.95).withMaxTokens(200);

    @Option(
            names = "--sampling-column",
            paramLabel = "NAME",
            description =
                    "Column in which rows say how they are sampled, where that is not as the options below say: an"
                            + " object with vLLM's names, such as {\"temperature\": 0, \"max_tokens\": 64}, or null.")
    private @Nullable String column;

    @Option(
            names = "--max-tokens",
            paramLabel = "N",
            description = "Most tokens of a completion (default: 16; bundled model: 200).")
    private @Nullable Integer maxTokens;

    @Option(names = "--min-tokens", paramLabel = "N", description = "No end before so many tokens (default: 0).")
    private @Nullable Integer minTokens;

    @Option(
            names = "--temperature",
            paramLabel = "X",
            description = "Divides the logits; 0 takes the most probable token (default: 1.0; bundled model: 0.8).")
    private @Nullable Double temperature;

    @Option(
            names = "--top-p",
            paramLabel = "X",
            description = "Keep the most probable tokens that together reach this probability (default: 1.0, off;"
                    + " bundled model: 0.95).")
    private @Nullable Double topP;

    @Option(names = "--top-k", paramLabel = "N", description = "Keep this many tokens (default: 0, off).")
    private @Nullable Integer topK;

    @Option(
            names = "--min-p",
            paramLabel = "X",
            description = "Drop tokens less probable than this share of the most probable one (default: 0, off).")
    private @Nullable Double minP;

    @Option(
            names = "--repetition-penalty",
            paramLabel = "X",
            description = "Weakens tokens that are already there; above 1 discourages (default: 1.0, off).")
    private @Nullable Double repetitionPenalty;

    @Option(
            names = "--presence-penalty",
            paramLabel = "X",
            description = "Taken from the logit of each token that is in the completion already (default: 0, off).")
    private @Nullable Double presencePenalty;

    @Option(
            names = "--frequency-penalty",
            paramLabel = "X",
            description = "Taken from it once for each time that it is (default: 0, off).")
    private @Nullable Double frequencyPenalty;

    @Option(
            names = "--seed",
            paramLabel = "N",
            description = "Of the random numbers: the same text for the same seed, whatever the sizes (default:"
                    + " ${DEFAULT-VALUE}).")
    private long seed;

    @Option(names = "--stop", paramLabel = "TEXT", description = "Text that ends a completion; may be repeated.")
    private List<String> stop = List.of();

    @Option(
            names = "--stop-token-ids",
            paramLabel = "N",
            split = ",",
            description = "Tokens that end a completion, by their numbers.")
    private List<Integer> stopTokenIds = List.of();

    @Option(names = "--include-stop-str-in-output", description = "Leave the text that ended a completion in it.")
    private boolean includeStop;

    @Option(
            names = "--skip-special-tokens",
            negatable = true,
            description = "Leave the tokenizer's special tokens out of the text (on by default), or not.")
    private @Nullable Boolean skipSpecial;

    @Option(names = "--ignore-eos", description = "Go on after the model's end token.")
    private boolean ignoreEos;

    /** Of rows' own parameters; null for none. */
    @Nullable
    String column() {
        return column;
    }

    /**
     * The values given, over the defaults.
     *
     * @param bundled whether the defaults are those of the bundled model
     * @throws IllegalArgumentException for a value out of range
     */
    SamplingParams params(boolean bundled) {
        SamplingParams params = (bundled ? STORIES : SamplingParams.DEFAULT)
                .withSeed(seed)
                .withIncludeStopStrInOutput(includeStop)
                .withIgnoreEos(ignoreEos);
        params = with(params, "--max-tokens", maxTokens, SamplingParams::withMaxTokens);
        params = with(params, "--min-tokens", minTokens, SamplingParams::withMinTokens);
        params = with(params, "--temperature", temperature, SamplingParams::withTemperature);
        params = with(params, "--top-p", topP, SamplingParams::withTopP);
        params = with(params, "--top-k", topK, SamplingParams::withTopK);
        params = with(params, "--min-p", minP, SamplingParams::withMinP);
        params = with(params, "--repetition-penalty", repetitionPenalty, SamplingParams::withRepetitionPenalty);
        params = with(params, "--presence-penalty", presencePenalty, SamplingParams::withPresencePenalty);
        params = with(params, "--frequency-penalty", frequencyPenalty, SamplingParams::withFrequencyPenalty);
        params = with(params, "--stop", stop, SamplingParams::withStop);
        params = with(params, "--stop-token-ids", stopTokenIds, SamplingParams::withStopTokenIds);
        return with(params, "--skip-special-tokens", skipSpecial, SamplingParams::withSkipSpecialTokens);
    }

    /** With what is given; where it is out of range its option is named. */
    private static <T> SamplingParams with(
            SamplingParams params,
            String option,
            @Nullable T given,
            BiFunction<SamplingParams, T, SamplingParams> with) {
        try {
            return given == null ? params : with.apply(params, given);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(option + ": " + e.getMessage(), e);
        }
    }
}
