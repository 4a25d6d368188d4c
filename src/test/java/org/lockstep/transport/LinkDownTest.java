package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.lockstep.FaultCase;
import org.lockstep.FaultLog;

/** An interface that goes down under a group: no end of a connection is told, no byte arrives any more. */
@Timeout(120)
@EnabledOnOs(OS.LINUX)
class LinkDownTest {
    /** A network of its own, with a loopback interface that may be taken down, for as long as its process lives. */
    private record Network(Process holder) implements AutoCloseable {
        static Network open() throws IOException {
            Process holder;
            try {
                holder = new ProcessBuilder("unshare", "-rn", "sh", "-c", "ip link set lo up && echo up && read end")
                        .redirectErrorStream(true)
                        .start();
            } catch (IOException none) {
                assumeThat(none).as("a program that opens a network namespace").isNull();
                throw none;
            }
            BufferedReader says = holder.inputReader(StandardCharsets.UTF_8);
            assumeThat(says.readLine()).as("a network namespace for a user").isEqualTo("up");
            return new Network(holder);
        }

        /** What runs another command in it. */
        List<String> runner() {
            return List.of("nsenter", "-t", Long.toString(holder.pid()), "-U", "-n", "--preserve-credentials");
        }

        void down() throws IOException, InterruptedException {
            List<String> command = new ArrayList<>(runner());
            command.addAll(List.of("ip", "link", "set", "lo", "down"));
            assertThat(new ProcessBuilder(command).inheritIO().start().waitFor())
                    .isZero();
        }

        @Override
        public void close() {
            holder.destroyForcibly();
        }
    }

    @Test
    @FaultCase("F35")
    void allRanksHearOfASilentNetwork() throws Exception {
        try (Network network = Network.open();
                RankProcesses world =
                        new RankProcesses(network.runner(), RankProcesses.Kind.TCP, 3, 100_000, Rhythm.DEFAULT)) {
            long start = System.nanoTime();
            network.down();
            for (int rank = 0; rank < 3; rank++) {
                assertThat(world.rank(rank).next("over"))
                        .startsWith("PEER_LOST")
                        .contains(String.format(
                                Locale.ROOT,
                                "gave no sign of life for %.1f s",
                                Rhythm.DEFAULT.loss().toMillis() / 1000.0));
                FaultLog.released("F35", Duration.ofNanos(System.nanoTime() - start));
            }
        }
    }
}
