package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.lockstep.collective.TransportKind;

/** A frozen rank at the rhythm that users have: suspicion after 5 s, the end after 15 s. */
@Timeout(120)
@EnabledOnOs(OS.LINUX)
class FrozenProcessIT {
    @ParameterizedTest
    @EnumSource(names = {"SHARED", "TCP"})
    void aFrozenRankIsLost(TransportKind transport) throws Exception {
        try (RankProcesses world = new RankProcesses(transport, 3, 1000, Rhythm.DEFAULT)) {
            long start = System.nanoTime();
            world.rank(1).signal("STOP");
            for (String end : world.endsOfOthers(1)) {
                assertThat(end).contains("PEER_LOST", "rank 1 gave no sign of life for 15.0 s", "culprit : rank 1");
            }
            System.out.println("a frozen rank is lost after " + TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start)
                    + " ms over " + transport);
        }
    }
}
