package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.FaultCase;
import org.lockstep.FaultLog;
import org.lockstep.spark.SparkJvm;

/** The command as a process of its own, and what a person at its terminal does. */
@Timeout(300)
class CtrlCTest {
    private static final int ROWS = 40;

    @TempDir
    private Path folder;

    private List<String> command(String... more) throws IOException {
        Path prompts = folder.resolve("it's.txt");
        Files.writeString(
                prompts,
                IntStream.range(0, ROWS)
                        .mapToObj(i -> "Once upon a time, " + i + " crows\n")
                        .collect(Collectors.joining()));
        List<String> words = lockstep();
        words.addAll(List.of(
                "generate",
                "-tp",
                "2",
                "--max-tokens",
                "48",
                "--ignore-eos",
                "--seed",
                "3",
                "--conf",
                SparkJvm.PATIENT,
                "--prompts",
                prompts.toString(),
                "--checkpoint-dir",
                folder.resolve("kept").toString(),
                "--output",
                folder.resolve("out.jsonl").toString()));
        words.addAll(List.of(more));
        return words;
    }

    private static List<String> lockstep() {
        List<String> words = SparkJvm.shortLived();
        words.addAll(List.of("-Xmx1g", "-cp", System.getProperty("java.class.path"), "org.lockstep.cli.Lockstep"));
        return words;
    }

    /** One that takes its rows one by one: it goes on for long after it has kept the first. */
    private Process startSlowly() throws IOException {
        return start("--max-num-seqs", "1");
    }

    private Process start(String... more) throws IOException {
        return started(command(more));
    }

    private Process started(List<String> command) throws IOException {
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("log").toFile())
                .start();
    }

    private void awaitCommits(Process process) {
        Awaitility.await().atMost(Duration.ofSeconds(120)).until(() -> {
            assertThat(process.isAlive()).as(log()).isTrue();
            if (!Files.isDirectory(folder.resolve("kept"))) {
                return false;
            }
            try (Stream<Path> files = Files.list(folder.resolve("kept"))) {
                return files.anyMatch(file -> file.getFileName().toString().startsWith("segment-"));
            }
        });
    }

    private static void interrupt(Process process) throws IOException, InterruptedException {
        Assumptions.assumeFalse(ignoresInterrupts(process), "this build runs in the background of a shell: no Ctrl-C");
        Process kill = new ProcessBuilder("kill", "-INT", Long.toString(process.pid())).start();
        Assumptions.assumeTrue(kill.waitFor() == 0, "this system has no signals");
    }

    /** As it inherits from a shell that started all this with an ampersand. */
    private static boolean ignoresInterrupts(Process process) throws IOException {
        Path status = Path.of("/proc", Long.toString(process.pid()), "status");
        return Files.exists(status)
                && Files.readAllLines(status).stream()
                        .filter(line -> line.startsWith("SigIgn:"))
                        .anyMatch(line ->
                                (Long.parseUnsignedLong(line.substring(7).trim(), 16) & 2) != 0);
    }

    private String log() throws IOException {
        return Files.readString(folder.resolve("log"));
    }

    @Test
    @FaultCase("F14")
    void theFirstOneEndsInOrderAndSaysHowToGoOn() throws Exception {
        Process process = startSlowly();
        awaitCommits(process);
        long start = System.nanoTime();
        interrupt(process);
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).as(log()).isTrue();
        FaultLog.released("F14", Duration.ofNanos(System.nanoTime() - start));
        assertThat(process.exitValue()).as(log()).isEqualTo(130);
        assertThat(log())
                .contains(
                        "LOCKSTEP-2008 CANCELLED",
                        " of 40 rows, in " + folder.resolve("kept"),
                        "to go on: lockstep generate -tp 2",
                        "--prompts '" + folder.resolve("it'\\''s.txt") + "'",
                        "--checkpoint-dir " + folder.resolve("kept") + " --resume")
                .doesNotContain("\tat ");
        assertThat(folder.resolve("out.jsonl")).doesNotExist();

        Process again = start("--resume");
        assertThat(again.waitFor(200, TimeUnit.SECONDS)).as(log()).isTrue();
        assertThat(again.exitValue()).as(log()).isZero();
        assertThat(log()).contains(" from before)");
        assertThat(Files.readAllLines(folder.resolve("out.jsonl")))
                .hasSize(ROWS)
                .allMatch(line -> line.contains("crows"));
        assertThat(folder.resolve("kept")).as("the rows are in the output").doesNotExist();
    }

    @Test
    @FaultCase("F14")
    void theSecondOneEndsAtOnce() throws Exception {
        Process process = startSlowly();
        awaitCommits(process);
        interrupt(process);
        interrupt(process);
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).as(log()).isTrue();
        assertThat(process.exitValue()).as(log()).isEqualTo(130);
    }

    /** Hadoop and Spark warn of it at length. */
    @Test
    void aFileSystemThatIsNotThereIsToldWithoutStacks() throws Exception {
        Assumptions.assumeTrue(HadoopOnJava.opensFiles(), "Hadoop 3.4 opens no files on Java 24 and later");
        List<String> words = lockstep();
        words.addAll(List.of("generate", "--conf", SparkJvm.PATIENT, "--prompts", "s3a://bucket/in.jsonl"));
        Process process = started(words);
        assertThat(process.waitFor(200, TimeUnit.SECONDS)).as(log()).isTrue();
        assertThat(process.exitValue()).as(log()).isEqualTo(2);
        assertThat(log())
                .contains("LOCKSTEP-1000 USAGE  cannot read the prompts in s3a://bucket/in.jsonl: ")
                .doesNotContain("\tat ");
    }
}
