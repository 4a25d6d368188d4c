package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.lockstep.FaultCase;
import org.lockstep.FaultLog;

/** A frozen rank at the rhythm that users have: suspicion after 5 s, the end after 15 s; over both transports at once. */
@Timeout(120)
@EnabledOnOs(OS.LINUX)
class FrozenProcessIT {
    /** As long as the longest pauses of garbage collectors: suspected, and forgiven. */
    @Test
    @FaultCase("F08")
    void aRankThatStandsStillForEightSecondsGoesOn() throws Exception {
        try (RankProcesses shared = new RankProcesses(RankProcesses.Kind.SHARED, 3, 1000, Rhythm.DEFAULT);
                RankProcesses tcp = new RankProcesses(RankProcesses.Kind.TCP, 3, 1000, Rhythm.DEFAULT)) {
            shared.rank(1).signal("STOP");
            tcp.rank(1).signal("STOP");
            assertThat(shared.rank(0).isQuietFor(Duration.ofSeconds(8)))
                    .as("between suspicion and loss")
                    .isTrue();
            for (RankProcesses world : List.of(shared, tcp)) {
                assertThat(world.rank(0).logs("rank 0 has not heard of rank 1 for"))
                        .as("seen at a beat after 5 s")
                        .matches("[567]\\.\\d s");
                world.rank(1).signal("CONT");
                world.rank(0).logs("rank 0 hears rank 1 again");
            }
            for (RankProcesses world : List.of(shared, tcp)) {
                world.rank(0).say("leave");
                assertThat(world.rank(0).ends()).isTrue();
                for (String end : world.endsOfOthers(0)) {
                    assertThat(end).contains("PEER_LOST", "rank 0 left the group");
                }
            }
        }
    }

    @Test
    @FaultCase("F05")
    void aFrozenRankIsLost() throws Exception {
        try (RankProcesses shared = new RankProcesses(RankProcesses.Kind.SHARED, 3, 1000, Rhythm.DEFAULT);
                RankProcesses tcp = new RankProcesses(RankProcesses.Kind.TCP, 3, 1000, Rhythm.DEFAULT)) {
            long start = System.nanoTime();
            shared.rank(1).signal("STOP");
            tcp.rank(1).signal("STOP");
            for (RankProcesses world : List.of(shared, tcp)) {
                for (String end : world.endsOfOthers(1)) {
                    assertThat(end).contains("PEER_LOST", "rank 1 gave no sign of life for 15.0 s", "culprit : rank 1");
                }
                FaultLog.released("F05", Duration.ofNanos(System.nanoTime() - start));
            }
        }
    }
}
