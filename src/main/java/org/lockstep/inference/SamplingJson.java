package org.lockstep.inference;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * The sampling parameters of rows: those of the call, but for what a row says itself, in a JSON object under vLLM's names. What is
 * null there is the call's. Confined to one thread.
 */
public final class SamplingJson {
    private static final String MIN_TOKENS = "min_tokens";

    private static final List<String> NAMES = List.of(
            "temperature",
            "top_p",
            "top_k",
            "min_p",
            "presence_penalty",
            "frequency_penalty",
            "repetition_penalty",
            "max_tokens",
            MIN_TOKENS,
            "seed",
            "stop",
            "stop_token_ids",
            "ignore_eos",
            "include_stop_str_in_output",
            "skip_special_tokens");

    private final SamplingParams call;
    private final ObjectReader reader = JsonMapper.builder()
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build()
            .readerFor(JsonNode.class);

    /** @param call for rows that say nothing */
    public SamplingJson(SamplingParams call) {
        this.call = call;
    }

    /**
     * Of a row.
     *
     * @param json what it says; null for nothing
     * @throws LockstepException SAMPLING_INVALID for no JSON object, a name that is none, a value of another type or out of range
     */
    public SamplingParams of(@Nullable String json) {
        if (json == null) {
            return call;
        }
        try {
            JsonNode said = reader.readTree(json);
            if (!said.isObject()) {
                throw invalid("they are a JSON object, not " + json);
            }
            return changed(said);
        } catch (JsonProcessingException e) {
            throw invalid("they are no JSON object: " + e.getOriginalMessage());
        }
    }

    private SamplingParams changed(JsonNode said) {
        Map<String, JsonNode> values = new TreeMap<>();
        said.properties().forEach(field -> {
            if (!field.getValue().isNull()) {
                values.put(field.getKey(), field.getValue());
            }
        });
        // The fewest and the most are checked against each other: the fewest go last, whatever there was before.
        SamplingParams params = call.withMinTokens(0);
        JsonNode fewest = values.remove(MIN_TOKENS);
        for (Map.Entry<String, JsonNode> value : values.entrySet()) {
            params = changed(params, value.getKey(), value.getValue());
        }
        return fewest == null ? kept(params) : changed(params, MIN_TOKENS, fewest);
    }

    private SamplingParams kept(SamplingParams params) {
        try {
            return params.withMinTokens(call.minTokens());
        } catch (IllegalArgumentException e) {
            throw invalid(e.getMessage());
        }
    }

    private static SamplingParams changed(SamplingParams params, String name, JsonNode value) {
        if (!NAMES.contains(name)) {
            throw invalid("there is none called '" + name + "'; there are " + NAMES);
        }
        try {
            return switch (name) {
                case "temperature" -> params.withTemperature(number(value));
                case "top_p" -> params.withTopP(number(value));
                case "top_k" -> params.withTopK(integer(value));
                case "min_p" -> params.withMinP(number(value));
                case "presence_penalty" -> params.withPresencePenalty(number(value));
                case "frequency_penalty" -> params.withFrequencyPenalty(number(value));
                case "repetition_penalty" -> params.withRepetitionPenalty(number(value));
                case "max_tokens" -> params.withMaxTokens(integer(value));
                case MIN_TOKENS -> params.withMinTokens(integer(value));
                case "seed" -> params.withSeed(whole(value));
                case "stop" -> params.withStop(list(value, SamplingJson::text));
                case "stop_token_ids" -> params.withStopTokenIds(list(value, SamplingJson::integer));
                case "ignore_eos" -> params.withIgnoreEos(truth(value));
                case "include_stop_str_in_output" -> params.withIncludeStopStrInOutput(truth(value));
                case "skip_special_tokens" -> params.withSkipSpecialTokens(truth(value));
                default -> throw new IllegalStateException(name);
            };
        } catch (IllegalArgumentException e) {
            throw invalid(name + ": " + e.getMessage());
        }
    }

    private static LockstepException invalid(@Nullable String why) {
        return LockstepException.report(ErrorCode.SAMPLING_INVALID, "the row's sampling parameters: " + why)
                .exception();
    }

    private static double number(JsonNode value) {
        return require(value.isNumber(), value, "a number").doubleValue();
    }

    private static int integer(JsonNode value) {
        return require(value.canConvertToExactIntegral() && value.canConvertToInt(), value, "a whole number")
                .intValue();
    }

    private static long whole(JsonNode value) {
        return require(value.canConvertToExactIntegral() && value.canConvertToLong(), value, "a whole number")
                .longValue();
    }

    private static boolean truth(JsonNode value) {
        return require(value.isBoolean(), value, "true or false").booleanValue();
    }

    private static String text(JsonNode value) {
        return require(value.isTextual(), value, "a string").textValue();
    }

    /** One alone counts as a list of it, as vLLM takes it. */
    private static <T> List<T> list(JsonNode value, Function<JsonNode, T> element) {
        if (!value.isArray()) {
            return List.of(element.apply(value));
        }
        List<T> all = new ArrayList<>();
        value.forEach(each -> all.add(element.apply(each)));
        return all;
    }

    private static JsonNode require(boolean holds, JsonNode value, String what) {
        if (!holds) {
            throw new IllegalArgumentException(value + " is not " + what);
        }
        return value;
    }
}
