package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.lockstep.FaultCase;
import org.lockstep.collective.TransportKind;

/** A buffer of fewer elements than an int counts, and of more bytes. */
@Timeout(180)
@EnabledOnOs(OS.LINUX)
class LargeBufferTest {
    private static final int ELEMENTS = 540_000_000; // of 4 bytes: 12 MB above 2^31
    private static final long NEEDED_KB = 8_000_000; // two ranks, their Javas and some air

    @ParameterizedTest
    @EnumSource(names = {"SHARED", "TCP"})
    @FaultCase("F25")
    void bytesBeyondAnIntArriveWhereTheyBelong(TransportKind transport) throws Exception {
        long available = availableKilobytes();
        assumeTrue(available > NEEDED_KB, available + " kB of memory are free, not " + NEEDED_KB);
        List<String> options =
                List.of("-Xmx2600m", "-Xmn100m", "-XX:+UseSerialGC", "--add-modules=jdk.incubator.vector");
        try (RankProcesses world =
                new RankProcesses(List.of(), options, transport, 2, ELEMENTS, Rhythm.DEFAULT)) { // which each checked
            world.rank(0).say("leave");
            assertThat(world.rank(0).ends()).isTrue();
            assertThat(world.rank(1).next("over")).contains("PEER_LOST", "rank 0 left the group");
        }
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
