package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

class SamplingJsonTest {
    private static final SamplingParams CALL = SamplingParams.DEFAULT
            .withTemperature(0.8)
            .withMaxTokens(20)
            .withMinTokens(10)
            .withSeed(3L);

    @Test
    void whatARowDoesNotSayIsTheCalls() {
        SamplingJson sampling = new SamplingJson(CALL);
        assertThat(sampling.of(null)).isSameAs(CALL);
        assertThat(sampling.of("{}")).isEqualTo(CALL);
        assertThat(sampling.of("{\"temperature\": null, \"stop\": null}")).isEqualTo(CALL);
        assertThat(sampling.of("{\"temperature\": 0}")).isEqualTo(CALL.withTemperature(0));
    }

    @Test
    void everyNameIsVllms() {
        SamplingParams own = new SamplingJson(CALL)
                .of(
                        "{\"temperature\": 0.5, \"top_p\": 0.9, \"top_k\": 40, \"min_p\": 0.1, \"presence_penalty\": 0.5,"
                                + " \"frequency_penalty\": -0.25, \"repetition_penalty\": 1.2, \"max_tokens\": 7.0,"
                                + " \"min_tokens\": 2, \"seed\": -9000000000, \"stop\": \"END\", \"stop_token_ids\": [5, 6],"
                                + " \"ignore_eos\": true, \"include_stop_str_in_output\": true, \"skip_special_tokens\": false}");
        assertThat(own)
                .isEqualTo(SamplingParams.DEFAULT
                        .withTemperature(0.5)
                        .withTopP(0.9)
                        .withTopK(40)
                        .withMinP(0.1)
                        .withPresencePenalty(0.5)
                        .withFrequencyPenalty(-0.25)
                        .withRepetitionPenalty(1.2)
                        .withMaxTokens(7)
                        .withMinTokens(2)
                        .withSeed(-9_000_000_000L)
                        .withStop(List.of("END"))
                        .withStopTokenIds(List.of(5, 6))
                        .withIgnoreEos(true)
                        .withIncludeStopStrInOutput(true)
                        .withSkipSpecialTokens(false));
    }

    /** The call has at least 10 and at most 20. */
    @Test
    void theFewestAndTheMostTokensMayChangeTogether() {
        SamplingJson sampling = new SamplingJson(CALL);
        assertThat(sampling.of("{\"min_tokens\": 30, \"max_tokens\": 40}").minTokens())
                .isEqualTo(30);
        assertThat(sampling.of("{\"min_tokens\": 2, \"max_tokens\": 5}").maxTokens())
                .isEqualTo(5);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{\"max_token\": 5}      | there is none called 'max_token'; there are [temperature, top_p, top_k",
                "{\"max_tokens\": 5}     | minTokens (10) is not in 0..maxTokens=5",
                "{\"max_tokens\": 2.5}   | max_tokens: 2.5 is not a whole number",
                "{\"max_tokens\": \"9\"} | max_tokens: \"9\" is not a whole number",
                "{\"temperature\": -1}   | temperature: temperature (-1.0) is not 0 or more",
                "{\"ignore_eos\": 1}     | ignore_eos: 1 is not true or false",
                "{\"stop\": [1]}         | stop: 1 is not a string",
                "[1]                     | they are a JSON object, not [1]",
                "{\"seed\": 1} x         | they are no JSON object",
                "greedy                  | they are no JSON object",
                "''                      | they are a JSON object, not"
            })
    void whatCannotBeIsSaid(String json, String why) {
        assertThatThrownBy(() -> new SamplingJson(CALL).of(json)).isInstanceOfSatisfying(LockstepException.class, e -> {
            assertThat(e.code()).isEqualTo(ErrorCode.SAMPLING_INVALID);
            assertThat(e.summary())
                    .startsWith("the row's sampling parameters: ")
                    .contains(why);
        });
    }
}
