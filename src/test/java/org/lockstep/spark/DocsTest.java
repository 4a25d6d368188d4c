package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.lockstep.ErrorCode;
import org.lockstep.spark.settings.Settings;

/**
 * Tables of the README that follow from the code: the test fails with the text that should stand there, or writes it, with
 * {@code -Dlockstep.docs.write=true}.
 */
class DocsTest {
    private static final Path README = Path.of("README.md");

    @Test
    void settings() throws IOException {
        List<String> rows = Settings.all().stream()
                .map(setting ->
                        "| `" + setting.key() + "` | `" + setting.fallback() + "` | " + setting.meaning() + " |")
                .toList();
        check("settings", "| key | default | meaning |\n|---|---|---|", rows);
    }

    @Test
    void codes() throws IOException {
        List<String> rows = Stream.of(ErrorCode.values())
                .map(code -> "| " + code.number() + " | `" + code.name() + "` | " + code.meaning() + " | "
                        + code.exitCode() + " |")
                .toList();
        check("codes", "| code | name | meaning | exit |\n|---|---|---|---|", rows);
    }

    private static void check(String name, String head, List<String> rows) throws IOException {
        String begin = "<!-- " + name + ": written by DocsTest -->\n";
        String end = "<!-- end of " + name + " -->";
        String readme = Files.readString(README);
        int from = readme.indexOf(begin) + begin.length();
        int to = readme.indexOf(end);
        assertThat(from).as(begin).isBetween(begin.length(), to);
        String table = head + "\n" + String.join("\n", rows) + "\n";
        if (Boolean.getBoolean("lockstep.docs.write")) {
            Files.writeString(README, readme.substring(0, from) + table + readme.substring(to));
        } else {
            assertThat(readme.substring(from, to)).isEqualTo(table);
        }
    }
}
