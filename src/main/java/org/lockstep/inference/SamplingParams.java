package org.lockstep.inference;

import java.io.Serializable;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * How tokens are chosen and when a completion ends. Names, defaults and meanings are vLLM's {@code SamplingParams}.
 * Immutable; every {@code with} returns another value and throws {@link IllegalArgumentException} where it is out of range.
 *
 * @param temperature divides the logits; at least 0; below 1e-5 is greedy: the largest logit, lowest id on ties
 * @param topP keep the most probable tokens that together reach this probability; above 0, at most 1 (off)
 * @param topK keep this many most probable tokens, and any that tie with the last; 0 or -1 (kept as 0) is off
 * @param minP drop tokens less probable than this share of the most probable one; 0 (off) to 1
 * @param presencePenalty taken from the logit of each token already in the output; -2 to 2
 * @param frequencyPenalty the same, times how often it is there; -2 to 2
 * @param repetitionPenalty divides a positive logit, multiplies a negative one, of each token already in prompt or output;
 *     above 0; 1 is off (Keskar et al., 2019, CTRL)
 * @param maxTokens most tokens to put out; at least 1
 * @param minTokens before this many no end token is chosen and no stop string is looked for; 0 to {@code maxTokens}
 * @param seed of the random numbers, which also depend on request id and output position; null lets whoever launches the
 *     run draw one, and reads as 0 below that
 * @param stop strings that end the output; none empty, at most {@value #MOST_STOPS}
 * @param stopTokenIds tokens that end the output besides the model's own; at most {@value #MOST_STOPS}
 * @param ignoreEos whether the model's end tokens are tokens like any other
 * @param includeStopStrInOutput whether the text keeps what ended it, a stop string or the text of a token; that of a special
 *     token only where these are not left out
 * @param skipSpecialTokens whether special tokens are left out of the text
 */
public record SamplingParams(
        double temperature,
        double topP,
        int topK,
        double minP,
        double presencePenalty,
        double frequencyPenalty,
        double repetitionPenalty,
        int maxTokens,
        int minTokens,
        @Nullable Long seed,
        List<String> stop,
        List<Integer> stopTokenIds,
        boolean ignoreEos,
        boolean includeStopStrInOutput,
        boolean skipSpecialTokens)
        implements Serializable {

    /** vLLM's defaults: temperature 1, nothing cut off, 16 tokens. */
    public static final SamplingParams DEFAULT =
            new SamplingParams(1.0, 1.0, 0, 0.0, 0.0, 0.0, 1.0, 16, 0, null, List.of(), List.of(), false, false, true);

    static final int MOST_STOPS = 64;
    private static final double GREEDY_BELOW = 1e-5;

    public SamplingParams {
        topK = topK == -1 ? 0 : topK;
        stop = List.copyOf(stop);
        stopTokenIds = List.copyOf(stopTokenIds);
        require(temperature >= 0 && temperature < Double.POSITIVE_INFINITY, "temperature", temperature, "0 or more");
        require(topP > 0 && topP <= 1, "topP", topP, "above 0 and at most 1");
        require(topK >= 0, "topK", topK, "0 (off) or more");
        require(minP >= 0 && minP <= 1, "minP", minP, "in 0..1");
        require(Math.abs(presencePenalty) <= 2, "presencePenalty", presencePenalty, "in -2..2");
        require(Math.abs(frequencyPenalty) <= 2, "frequencyPenalty", frequencyPenalty, "in -2..2");
        require(
                repetitionPenalty > 0 && repetitionPenalty < Double.POSITIVE_INFINITY,
                "repetitionPenalty",
                repetitionPenalty,
                "above 0");
        require(maxTokens >= 1, "maxTokens", maxTokens, "1 or more");
        require(minTokens >= 0 && minTokens <= maxTokens, "minTokens", minTokens, "in 0..maxTokens=" + maxTokens);
        require(stop.size() <= MOST_STOPS, "number of stop strings", stop.size(), "at most " + MOST_STOPS);
        require(stop.stream().noneMatch(String::isEmpty), "stop", stop, "free of empty strings");
        require(
                stopTokenIds.size() <= MOST_STOPS,
                "number of stop tokens",
                stopTokenIds.size(),
                "at most " + MOST_STOPS);
        require(stopTokenIds.stream().allMatch(id -> id >= 0), "stopTokenIds", stopTokenIds, "free of negative ids");
    }

    private static void require(boolean holds, String name, Object value, String range) {
        if (!holds) {
            throw new IllegalArgumentException(name + " (" + value + ") is not " + range);
        }
    }

    /** The most probable token each time; otherwise the defaults. */
    public static SamplingParams greedy() {
        return DEFAULT.withTemperature(0);
    }

    /** Whether no random number is drawn. */
    public boolean isGreedy() {
        return temperature < GREEDY_BELOW;
    }

    /** The seed, 0 if there is none. */
    public long seedOrZero() {
        return seed == null ? 0 : seed;
    }

    public SamplingParams withTemperature(double value) {
        return with(draft -> draft.temperature = value);
    }

    public SamplingParams withTopP(double value) {
        return with(draft -> draft.topP = value);
    }

    public SamplingParams withTopK(int value) {
        return with(draft -> draft.topK = value);
    }

    public SamplingParams withMinP(double value) {
        return with(draft -> draft.minP = value);
    }

    public SamplingParams withPresencePenalty(double value) {
        return with(draft -> draft.presencePenalty = value);
    }

    public SamplingParams withFrequencyPenalty(double value) {
        return with(draft -> draft.frequencyPenalty = value);
    }

    public SamplingParams withRepetitionPenalty(double value) {
        return with(draft -> draft.repetitionPenalty = value);
    }

    public SamplingParams withMaxTokens(int value) {
        return with(draft -> draft.maxTokens = value);
    }

    public SamplingParams withMinTokens(int value) {
        return with(draft -> draft.minTokens = value);
    }

    public SamplingParams withSeed(@Nullable Long value) {
        return with(draft -> draft.seed = value);
    }

    public SamplingParams withStop(List<String> value) {
        return with(draft -> draft.stop = value);
    }

    public SamplingParams withStopTokenIds(List<Integer> value) {
        return with(draft -> draft.stopTokenIds = value);
    }

    public SamplingParams withIgnoreEos(boolean value) {
        return with(draft -> draft.ignoreEos = value);
    }

    public SamplingParams withIncludeStopStrInOutput(boolean value) {
        return with(draft -> draft.includeStopStrInOutput = value);
    }

    public SamplingParams withSkipSpecialTokens(boolean value) {
        return with(draft -> draft.skipSpecialTokens = value);
    }

    private SamplingParams with(Consumer<Draft> change) {
        Draft draft = new Draft(this);
        change.accept(draft);
        return draft.finish();
    }

    /** The components of one copy while one of them changes. */
    private static final class Draft {
        double temperature;
        double topP;
        int topK;
        double minP;
        double presencePenalty;
        double frequencyPenalty;
        double repetitionPenalty;
        int maxTokens;
        int minTokens;

        @Nullable
        Long seed;

        List<String> stop;
        List<Integer> stopTokenIds;
        boolean ignoreEos;
        boolean includeStopStrInOutput;
        boolean skipSpecialTokens;

        Draft(SamplingParams from) {
            temperature = from.temperature;
            topP = from.topP;
            topK = from.topK;
            minP = from.minP;
            presencePenalty = from.presencePenalty;
            frequencyPenalty = from.frequencyPenalty;
            repetitionPenalty = from.repetitionPenalty;
            maxTokens = from.maxTokens;
            minTokens = from.minTokens;
            seed = from.seed;
            stop = from.stop;
            stopTokenIds = from.stopTokenIds;
            ignoreEos = from.ignoreEos;
            includeStopStrInOutput = from.includeStopStrInOutput;
            skipSpecialTokens = from.skipSpecialTokens;
        }

        SamplingParams finish() {
            return new SamplingParams(
                    temperature,
                    topP,
                    topK,
                    minP,
                    presencePenalty,
                    frequencyPenalty,
                    repetitionPenalty,
                    maxTokens,
                    minTokens,
                    seed,
                    stop,
                    stopTokenIds,
                    ignoreEos,
                    includeStopStrInOutput,
                    skipSpecialTokens);
        }
    }
}
