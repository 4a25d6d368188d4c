package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The script of the distribution, beside an imagined jar and with an imagined java that prints its arguments. */
@Timeout(60)
class LauncherTest {
    private static final Path SCRIPT = Path.of("src/main/dist/bin/lockstep");
    private static final String OPTIONS = "-Xmx3g -Da=b";

    @TempDir
    private Path folder;

    private Path dist;

    @BeforeEach
    void layOut() throws IOException {
        dist = folder.toRealPath().resolve("a dist");
        Files.createDirectories(dist.resolve("bin"));
        Files.copy(SCRIPT, dist.resolve("bin/lockstep"), StandardCopyOption.COPY_ATTRIBUTES);
        Files.createFile(dist.resolve("lockstep-1.2.jar"));
        Files.createFile(dist.resolve("lockstep-1.2-all.jar"));
    }

    @Test
    void thinJarThenTheJarsOfSparkAndTheWordsAsTheyAre() throws Exception {
        Ran ran = run(dist.resolve("bin/lockstep"), java("17.0.15"), OPTIONS, "plan", "a b", "*", "");
        assertThat(ran.code).isZero();
        assertThat(ran.words())
                .contains("--add-opens=java.base/java.lang=ALL-UNNAMED", "-Xmx3g", "-Da=b")
                .endsWith(
                        "-cp",
                        dist + "/lockstep-1.2.jar:" + dist + "/jars/*",
                        "org.lockstep.cli.Lockstep",
                        "plan",
                        "a b",
                        "*",
                        "");
    }

    @Test
    void benchHasAHeapThatIsThereUnlessOneIsGiven() throws Exception {
        Path script = dist.resolve("bin/lockstep");
        Path home = java("17");
        assertThat(run(script, home, "-Da=b", "bench", "all-reduce").words())
                .containsSequence("-Xms256m", "-Xmn192m", "-XX:+AlwaysPreTouch", "-Da=b", "-cp");
        assertThat(run(script, home, "", "bench", "inference", "-n", "8").words())
                .doesNotContain("-XX:+AlwaysPreTouch");
        assertThat(run(script, home, "", "plan", "bench").words()).doesNotContain("-XX:+AlwaysPreTouch");
        assertThat(run(script, home, "-Xmx3g", "bench", "all-reduce").words())
                .contains("-Xmx3g")
                .doesNotContain("-Xms256m", "-XX:+AlwaysPreTouch");
    }

    @Test
    void foundThroughSymbolicLinks() throws Exception {
        Files.createSymbolicLink(folder.resolve("first"), Path.of("a dist/bin/lockstep"));
        Files.createDirectory(folder.resolve("links"));
        Path second = Files.createSymbolicLink(folder.resolve("links/second"), Path.of("../first"));
        assertThat(run(second, java("25"), OPTIONS).words()).contains(dist + "/lockstep-1.2.jar:" + dist + "/jars/*");
    }

    @Test
    void anOldJavaIsRefusedInASentence() throws Exception {
        Ran ran = run(dist.resolve("bin/lockstep"), java("1.8.0_442"), OPTIONS);
        assertThat(ran.code).isEqualTo(3);
        assertThat(ran.output).contains("Java 17 or later is needed", "is Java 1.8.0_442", "JAVA_HOME");
        assertThat(run(dist.resolve("bin/lockstep"), java("11.0.2"), OPTIONS).code)
                .isEqualTo(3);
    }

    @Test
    void aWrongJavaHomeAndAMissingJarAreToldByName() throws Exception {
        assertThat(run(dist.resolve("bin/lockstep"), folder.resolve("nowhere"), OPTIONS).output)
                .contains("JAVA_HOME is " + folder.resolve("nowhere"));
        Files.delete(dist.resolve("lockstep-1.2.jar"));
        Ran ran = run(dist.resolve("bin/lockstep"), java("17"), OPTIONS);
        assertThat(ran.code).isEqualTo(3);
        assertThat(ran.output).contains("no lockstep-*.jar in " + dist);
    }

    @Test
    void theJvmOptionsAreThoseOfTheBuild() throws IOException {
        assertThat(words(SCRIPT, "jvm_options='(.*?)'"))
                .isEqualTo(words(Path.of("pom.xml"), "<spark\\.jvm\\.options>(.*?)</spark\\.jvm\\.options>"));
    }

    private static List<String> words(Path file, String pattern) throws IOException {
        Matcher found = Pattern.compile(pattern, Pattern.DOTALL).matcher(Files.readString(file));
        assertThat(found.find()).isTrue();
        return Arrays.asList(found.group(1).strip().split("\\s+"));
    }

    private record Ran(int code, String output) {
        List<String> words() {
            return Arrays.asList(output.split("\n", -1))
                    .subList(0, (int) output.lines().count());
        }
    }

    private Path java(String version) throws IOException {
        Path home = Files.createTempDirectory(folder, "java");
        Path program = Files.createDirectory(home.resolve("bin")).resolve("java");
        Files.writeString(
                program,
                "#!/bin/sh\nif [ \"$1\" = -version ]; then echo 'openjdk version \"" + version
                        + "\" 2025-01-01' >&2; exit; fi\nprintf '%s\\n' \"$@\"\n");
        assertThat(program.toFile().setExecutable(true)).isTrue();
        return home;
    }

    private static Ran run(Path script, Path javaHome, String options, String... args) throws Exception {
        ProcessBuilder builder = new ProcessBuilder(script.toString()).redirectErrorStream(true);
        builder.command().addAll(List.of(args));
        builder.environment().put("JAVA_HOME", javaHome.toString());
        builder.environment().put("LOCKSTEP_JAVA_OPTS", options);
        Process process = builder.start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor(30, TimeUnit.SECONDS)).isTrue();
        return new Ran(process.exitValue(), output);
    }
}
