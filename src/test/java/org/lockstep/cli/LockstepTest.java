package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import picocli.CommandLine.Model.OptionSpec;

class LockstepTest {
    @Test
    void aloneItPrintsHelp() {
        Run run = Run.of();
        assertThat(run.code()).isZero();
        assertThat(run.out()).isEqualTo(Run.of("--help").out()).contains("Exit codes:", "130", "Examples:");
        assertThat(run.err()).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(strings = {"plan", "generate", "bench", "doctor"})
    void everyCommandHasHelpWithExamplesAndExitCodes(String command) {
        Run run = Run.of(command, "--help");
        assertThat(run.code()).isZero();
        assertThat(run.out()).contains("Usage: lockstep " + command, "Exit codes:", "Examples:");
        assertThat(Run.of("help", command).out()).isEqualTo(run.out());
    }

    @Test
    void manyOptionsStandUnderHeadings() {
        String help = Run.of("generate", "--help").out();
        assertThat(help)
                .containsSubsequence(
                        "Model and ranks:",
                        "  --model=DIR",
                        "Rows:",
                        "  --prompts=FILE",
                        "Sampling:",
                        "  --max-tokens=N",
                        "Engine:",
                        "  --dtype=TYPE",
                        "  --device=KIND",
                        "When something fails:",
                        "  --attempts=N",
                        "Spark:",
                        "  --conf=KEY=VALUE",
                        "Others:",
                        "  --verbose");
        List<String> listed = Pattern.compile("(?m)^ {2,6}(?:-[a-zA-Z]+, )?(--[a-z\\[][^= \n]*)")
                .matcher(help)
                .results()
                .map(option -> option.group(1).replace("[no-]", ""))
                .toList();
        assertThat(listed)
                .as("each once")
                .containsExactlyInAnyOrderElementsOf(
                        Lockstep.commandLine(Screen.ofProcess())
                                .getSubcommands()
                                .get("generate")
                                .getCommandSpec()
                                .options()
                                .stream()
                                .map(OptionSpec::longestName)
                                .toList());
    }

    @Test
    void errorsOfTheMachineHaveACodeToo() {
        assertThat(broken(new OutOfMemoryError("Java heap space")))
                .isEqualTo(ErrorCode.OUT_OF_MEMORY.exitCode() + " " + ErrorCode.OUT_OF_MEMORY.label());
        assertThat(broken(new NoClassDefFoundError("org/apache/spark/SparkConf")))
                .isEqualTo("3 " + ErrorCode.NO_SPARK.label());
        assertThat(broken(new NoClassDefFoundError("Could not initialize class x.Y")))
                .isEqualTo("4 " + ErrorCode.INTERNAL.label());
        assertThat(broken(new StackOverflowError())).isEqualTo("4 " + ErrorCode.INTERNAL.label());
    }

    private static String broken(Error error) {
        StringWriter err = new StringWriter();
        int code = Lockstep.broken(error, new PrintWriter(err));
        assertThat(err.toString().contains("\tat ")).isEqualTo(err.toString().contains(ErrorCode.INTERNAL.label()));
        return code + " " + err.toString().split("  ", 2)[0];
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
