package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.lockstep.FaultCase;
import org.lockstep.collective.TransportKind;

/** A buffer of fewer elements than an int counts, and of more bytes. */
@Timeout(180)
@EnabledOnOs(OS.LINUX)
class LargeBufferTest {
    static final int ELEMENTS = 540_000_000; // of 4 bytes: 12 MB above 2^31

    /** By when a Java of its own has ended, also where others use the same cores. */
    static final Duration PATIENCE = Duration.ofSeconds(170);

    private static final long NEEDED_KB = 8_000_000; // two ranks, their Javas and some air

    @TempDir
    private Path folder;

    @ParameterizedTest
    @EnumSource(names = {"SHARED", "TCP"})
    @FaultCase("F25")
    void bytesBeyondAnIntArriveWhereTheyBelong(RankProcesses.Kind kind) throws Exception {
        assumeMemory(NEEDED_KB);
        List<String> options =
                List.of("-Xmx2600m", "-Xmn100m", "-XX:+UseSerialGC", "--add-modules=jdk.incubator.vector");
        // each checks what comes of a round: the first one here, and the second one, after which rank 0 hears that it
        // leaves
        try (RankProcesses world = new RankProcesses(List.of(), options, 1, kind, 2, ELEMENTS, Rhythm.DEFAULT)) {
            world.rank(0).say("leave");
            assertThat(world.rank(0).ends()).isTrue();
            assertThat(world.rank(1).next("over")).contains("PEER_LOST", "rank 0 left the group");
        }
    }

    /**
     * Of two ranks in one JVM, that use the transport they are told to. Of threads an all-gather, a reduce-scatter and an all-reduce
     * do so too; by the other transports the all-reduce is the one above.
     */
    @ParameterizedTest
    @EnumSource
    @FaultCase("F25")
    void aBroadcastAndASendCountThem(TransportKind kind) throws Exception {
        assumeMemory(NEEDED_KB + 2_300_000); // a lender that waits for long takes a copy
        Path said = folder.resolve("said");
        Process process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xmx7g",
                        "-Xmn100m",
                        "-XX:+UseSerialGC",
                        "--add-modules=jdk.incubator.vector",
                        "-XX:ErrorFile=" + folder.resolve("crash"),
                        "-cp",
                        System.getProperty("java.class.path"),
                        LargeOperations.class.getName(),
                        kind.toString())
                .redirectErrorStream(true)
                .redirectOutput(said.toFile())
                .start();
        try {
            boolean ended = process.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS);
            String words = Files.readString(said);
            assertThat(ended).as("its end; it said: " + words).isTrue();
            assertThat(process.exitValue()).as(words).isZero();
        } finally {
            process.destroyForcibly();
        }
    }

    private static void assumeMemory(long kilobytes) throws IOException {
        long available = availableKilobytes();
        assumeTrue(available > kilobytes, available + " kB of memory are free, not " + kilobytes);
    }

    private static long availableKilobytes() throws IOException {
        return Files.readAllLines(Path.of("/proc/meminfo")).stream()
                .filter(line -> line.startsWith("MemAvailable:"))
                .map(line -> line.replaceAll("\\D", ""))
                .mapToLong(Long::parseLong)
                .findFirst()
                .orElse(0);
    }
}
