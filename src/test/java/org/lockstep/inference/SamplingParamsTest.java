package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;

class SamplingParamsTest {
    private static final SamplingParams DEFAULT = SamplingParams.DEFAULT;

    @Test
    void defaultsAreThoseOfVllm() {
        assertThat(DEFAULT.temperature()).isEqualTo(1.0);
        assertThat(DEFAULT.topP()).isEqualTo(1.0);
        assertThat(DEFAULT.topK()).isZero();
        assertThat(DEFAULT.minP()).isZero();
        assertThat(DEFAULT.presencePenalty()).isZero();
        assertThat(DEFAULT.frequencyPenalty()).isZero();
        assertThat(DEFAULT.repetitionPenalty()).isEqualTo(1.0);
        assertThat(DEFAULT.maxTokens()).isEqualTo(16);
        assertThat(DEFAULT.minTokens()).isZero();
        assertThat(DEFAULT.seed()).isNull();
        assertThat(DEFAULT.stop()).isEmpty();
        assertThat(DEFAULT.stopTokenIds()).isEmpty();
        assertThat(DEFAULT.ignoreEos()).isFalse();
        assertThat(DEFAULT.includeStopStrInOutput()).isFalse();
        assertThat(DEFAULT.skipSpecialTokens()).isTrue();
        assertThat(DEFAULT.isGreedy()).isFalse();
        assertThat(SamplingParams.greedy().isGreedy()).isTrue();
        assertThat(DEFAULT.withTopK(-1)).isEqualTo(DEFAULT);
    }

    @Test
    void eachWithChangesItsOwnComponentOnly() {
        SamplingParams changed = DEFAULT.withTemperature(0.5)
                .withTopP(0.9)
                .withTopK(7)
                .withMinP(0.1)
                .withPresencePenalty(0.2)
                .withFrequencyPenalty(0.3)
                .withRepetitionPenalty(1.1)
                .withMaxTokens(99)
                .withMinTokens(3)
                .withSeed(5L)
                .withStop(List.of("a"))
                .withStopTokenIds(List.of(4))
                .withIgnoreEos(true)
                .withIncludeStopStrInOutput(true)
                .withSkipSpecialTokens(false);
        assertThat(changed)
                .isEqualTo(new SamplingParams(
                        0.5, 0.9, 7, 0.1, 0.2, 0.3, 1.1, 99, 3, 5L, List.of("a"), List.of(4), true, true, false));
    }

    @Test
    void refusesWhatIsOutOfRangeAndNamesTheValue() {
        Map<String, UnaryOperator<SamplingParams>> wrong = Map.ofEntries(
                Map.entry("temperature (-0.1)", p -> p.withTemperature(-0.1)),
                Map.entry("temperature (NaN)", p -> p.withTemperature(Double.NaN)),
                Map.entry("temperature (Infinity)", p -> p.withTemperature(Double.POSITIVE_INFINITY)),
                Map.entry("topP (0.0)", p -> p.withTopP(0)),
                Map.entry("topP (1.5)", p -> p.withTopP(1.5)),
                Map.entry("topP (NaN)", p -> p.withTopP(Double.NaN)),
                Map.entry("topK (-2)", p -> p.withTopK(-2)),
                Map.entry("minP (1.1)", p -> p.withMinP(1.1)),
                Map.entry("presencePenalty (2.5)", p -> p.withPresencePenalty(2.5)),
                Map.entry("frequencyPenalty (-3.0)", p -> p.withFrequencyPenalty(-3)),
                Map.entry("repetitionPenalty (0.0)", p -> p.withRepetitionPenalty(0)),
                Map.entry("maxTokens (0)", p -> p.withMaxTokens(0)),
                Map.entry("minTokens (17)", p -> p.withMinTokens(17)),
                Map.entry("stop ([a, ])", p -> p.withStop(List.of("a", ""))),
                Map.entry("stopTokenIds ([-1])", p -> p.withStopTokenIds(List.of(-1))));
        wrong.forEach((message, change) -> assertThatThrownBy(() -> change.apply(DEFAULT))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageStartingWith(message));
    }

    @Test
    void travelsInATaskClosure() throws Exception {
        SamplingParams params = DEFAULT.withStop(List.of("\n", "end")).withSeed(3L);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(params);
        }
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
            assertThat(in.readObject()).isEqualTo(params);
        }
    }
}
