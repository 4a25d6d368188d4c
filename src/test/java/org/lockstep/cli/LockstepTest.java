package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LockstepTest {
    @Test
    void aloneItPrintsHelp() {
        Run run = Run.of();
        assertThat(run.code()).isZero();
        assertThat(run.out()).isEqualTo(Run.of("--help").out()).contains("Exit codes:", "130", "Examples:");
        assertThat(run.err()).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(strings = {"plan", "generate"})
    void everyCommandHasHelpWithExamplesAndExitCodes(String command) {
        Run run = Run.of(command, "--help");
        assertThat(run.code()).isZero();
        assertThat(run.out()).contains("Usage: lockstep " + command, "Exit codes:", "Examples:");
        assertThat(Run.of("help", command).out()).isEqualTo(run.out());
    }

    @Test
    void versionIsOneLine() {
        assertThat(Run.of("--version").out())
                .startsWith("lockstep ")
                .contains("Java ")
                .hasLineCount(1);
    }

    @ParameterizedTest
    @ValueSource(strings = {"--nonsense", "plam", "plan --world-siz 3", "plan --world-size x", "plan --world-size"})
    void misuseIsCodeTwoWithAHintAndNothingOnStandardOutput(String words) {
        Run run = Run.of(words.split(" "));
        assertThat(run.code()).isEqualTo(2);
        assertThat(run.out()).isEmpty();
        assertThat(run.err()).contains("Try 'lockstep").doesNotContain("\tat ");
    }
}
