package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.lockstep.ErrorCode;
import org.lockstep.spark.settings.Settings;

/**
 * Tables of the README, and the keys in conf/spark-defaults.conf, that follow from the code: the test fails with the text that should stand there, or writes it, with
 * {@code -Dlockstep.docs.write=true}.
 */
class DocsTest {
    private static final Path README = Path.of("README.md");
    private static final Path CONF = Path.of("conf/spark-defaults.conf");

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

    @Test
    void theExampleOfAConfigurationExplainsEveryKey() throws IOException {
        String lines = Settings.all().stream()
                .map(setting -> String.format(
                        Locale.ROOT, "%n# %s%n%-56s %s%n", setting.meaning(), setting.key(), setting.fallback()))
                .collect(Collectors.joining());
        check(CONF, "# Lockstep's own keys and their defaults: written by DocsTest\n", "\n# end of the keys", lines);
    }

    private static void check(String name, String head, List<String> rows) throws IOException {
        check(
                README,
                "<!-- " + name + ": written by DocsTest -->\n",
                "<!-- end of " + name + " -->",
                head + "\n" + String.join("\n", rows) + "\n");
    }

    private static void check(Path file, String begin, String end, String text) throws IOException {
        String all = Files.readString(file);
        int from = all.indexOf(begin) + begin.length();
        int to = all.indexOf(end);
        assertThat(from).as(begin).isBetween(begin.length(), to);
        if (Boolean.getBoolean("lockstep.docs.write")) {
            Files.writeString(file, all.substring(0, from) + text + all.substring(to));
        } else {
            assertThat(all.substring(from, to)).isEqualTo(text);
        }
    }
}
