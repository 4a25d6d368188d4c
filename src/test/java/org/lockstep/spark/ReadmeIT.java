package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every command that the README shows for the laid-out distribution runs as it stands. */
@Timeout(180)
class ReadmeIT {
    private static final Pattern SHELL = Pattern.compile("```sh\n(.*?)```", Pattern.DOTALL);

    static Stream<String> commands() throws IOException {
        Matcher blocks = SHELL.matcher(Files.readString(Path.of("README.md")));
        List<String> commands = blocks.results()
                .flatMap(block -> block.group(1).lines())
                .filter(line -> line.startsWith("target/dist/"))
                .toList();
        assertThat(commands).isNotEmpty();
        assertThat(Files.readString(Path.of("README.md")))
                .as("a place left to fill in")
                .doesNotContain("@" + "@");
        return commands.stream();
    }

    @ParameterizedTest
    @MethodSource("commands")
    void runs(String command) throws Exception {
        ProcessBuilder builder = new ProcessBuilder("sh", "-c", command).redirectErrorStream(true);
        if (!command.contains(" bench inference ")) { // whose vectors the optimising compiler alone knows
            builder.environment().put("LOCKSTEP_JAVA_OPTS", SparkJvm.FIRST_COMPILER);
        }
        Process process = builder.start();
        process.getOutputStream().close();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor()).as(output).isZero();
        assertThat(output).isNotBlank();
    }
}
