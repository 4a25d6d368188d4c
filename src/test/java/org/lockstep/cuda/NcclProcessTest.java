package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.LockstepException;
import org.lockstep.transport.RankProcesses;
import org.lockstep.transport.Rhythm;

/** Groups by NCCL whose ranks are processes. */
@HostCuda
@Timeout(180)
class NcclProcessTest {
    private static final String RECORD = "record ";

    /** What carries their all-reduces. */
    RankProcesses.Kind kind() {
        return RankProcesses.Kind.NCCL;
    }

    private RankProcesses reducing(int size, int elements) throws Exception {
        StandInNccl.require();
        return new RankProcesses(kind(), size, elements, Rhythm.DEFAULT);
    }

    @Test
    void theContractHoldsBetweenProcesses() throws Exception {
        StandInNccl.require();
        assertContract(
                2,
                kind() == RankProcesses.Kind.KERNELS ? NcclContractProcess.Way.KERNELS : NcclContractProcess.Way.NCCL);
    }

    /** On a real device too, where there is an NCCL. */
    @Test
    void theContractHoldsBetweenProcessesThatShareTheDevices() throws Exception {
        try {
            NcclLibrary.open(Optional.empty(), System.getenv());
        } catch (LockstepException none) {
            assumeTrue(false, none.summary());
        }
        assertContract(1 + StandIn.devices().size(), NcclContractProcess.Way.SHARED);
    }

    private static void assertContract(int size, NcclContractProcess.Way way) throws Exception {
        List<RankProcesses.Rank> ranks = new ArrayList<>();
        try {
            for (int index = 0; index < size; index++) {
                ranks.add(new RankProcesses.Rank(new ProcessBuilder(
                                Path.of(System.getProperty("java.home"), "bin", "java")
                                        .toString(),
                                "-Xmx256m",
                                "-cp",
                                System.getProperty("java.class.path"),
                                NcclContractProcess.class.getName(),
                                Integer.toString(index),
                                Integer.toString(size),
                                way.name())
                        .start()));
            }
            List<String> said = next(ranks);
            while (said.get(0).startsWith(RECORD)) {
                for (RankProcesses.Rank each : ranks) {
                    said.forEach(line -> each.say(line.substring(RECORD.length())));
                }
                said = next(ranks);
            }
            assertThat(said).containsOnly("passed 19");
        } finally {
            ranks.forEach(RankProcesses.Rank::kill);
        }
    }

    private static List<String> next(List<RankProcesses.Rank> ranks) throws InterruptedException {
        List<String> lines = new ArrayList<>();
        for (RankProcesses.Rank each : ranks) {
            lines.add(each.next(""));
        }
        return lines;
    }

    /** NCCL tells nobody; the links of the host's groups do. */
    @ParameterizedTest
    @ValueSource(ints = {4, 1_000_000})
    void aKilledRankIsLostAndItsPeersAreReleased(int elements) throws Exception {
        for (int size : new int[] {2, 3}) {
            try (RankProcesses world = reducing(size, elements)) {
                world.rank(1).kill();
                for (String end : world.endsOfOthers(1)) {
                    assertThat(end).contains("PEER_LOST", "rank 1 is gone", "culprit : rank 1");
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"exit", "halt"})
    void aRankWhoseProcessEndsInTheMiddleIsLost(String how) throws Exception {
        try (RankProcesses world = reducing(2, 1000)) {
            world.rank(1).say(how);
            assertThat(world.rank(0).next("over")).contains("PEER_LOST", "culprit : rank 1");
            assertThat(world.rank(1).ends()).isTrue();
        }
    }

    @Test
    void aFrozenRankIsLostAndHearsOfItWhenItThaws() throws Exception {
        Rhythm quick = new Rhythm(Duration.ofMillis(200), Duration.ofMillis(1000), Duration.ofMillis(6000));
        StandInNccl.require();
        try (RankProcesses world = new RankProcesses(kind(), 2, 1000, quick)) {
            world.rank(1).signal("STOP");
            assertThat(world.rank(0).next("over")).contains("PEER_LOST", "rank 1 gave no sign of life for 6.0 s");
            world.rank(1).signal("CONT");
            assertThat(world.rank(1).next("over")).contains("PEER_LOST");
        }
    }

    @Test
    void aRankThatCallsAnotherReductionIsToldAndSoIsItsPeer() throws Exception {
        try (RankProcesses world = reducing(2, 1000)) {
            world.rank(1).say("differ");
            for (int rank = 0; rank < 2; rank++) {
                assertThat(world.rank(rank).next("over")).contains("COLLECTIVE_MISMATCH", "max", "sum");
            }
        }
    }

    @Test
    void theCauseOfAFailureReachesThePeer() throws Exception {
        try (RankProcesses world = reducing(2, 1000)) {
            world.rank(1).say("fail");
            assertThat(world.rank(0).next("over")).contains("ABORTED", "because of rank 1", "the row is cursed");
        }
    }
}
