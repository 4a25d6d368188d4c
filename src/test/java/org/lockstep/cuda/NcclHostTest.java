package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Hello;
import org.lockstep.collective.Identity;
import org.lockstep.collective.Roster;
import org.lockstep.collective.WorldSpec;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.ProcessGroup;

/** Ranks that NCCL takes for hosts of their own, and how they reach each other. */
class NcclHostTest {
    private static final Identity HERE = Identity.local().withHost(7, "gpu-a");
    private static final ProcessGroup BOTH = ProcessGroup.of("tp", 0, 0, 1);

    private static Roster roster(Identity second) {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2));
        return Roster.of(List.of(record(spec, HERE, 0), record(spec, second, 1)), spec);
    }

    private static String record(WorldSpec spec, Identity identity, int rank) {
        return new Hello(
                        spec.attempt(),
                        "test",
                        identity,
                        rank,
                        rank,
                        "nccl",
                        List.of(),
                        0,
                        spec.sizes(),
                        spec.order(),
                        new Hello.Settings(0, List.of()),
                        List.of())
                .encode(spec.key());
    }

    @Test
    void theLoopbackInterfaceDoesNotJoinSeveralHosts() {
        assertThatThrownBy(() -> NcclHost.requireOne(BOTH, roster(HERE.withHost(8, "gpu-b")), Map.of()))
                .isInstanceOfSatisfying(LockstepException.class, e -> {
                    assertThat(e.code()).isEqualTo(ErrorCode.NO_EFFECT);
                    assertThat(e.summary()).contains("does not join their hosts gpu-a (boot 7), gpu-b (boot 8)");
                    assertThat(e.advice()).contains("NCCL_SOCKET_IFNAME");
                });
    }

    /** As of containers that were not given another. */
    @Test
    void hostsOfOneNameAreToldApart() {
        assertThatThrownBy(() -> NcclHost.requireOne(BOTH, roster(HERE.withHost(8, "gpu-a")), Map.of()))
                .hasMessageContaining("gpu-a (boot 7), gpu-a (boot 8)");
    }

    /** As of processes in two containers, or in as many that it takes for two numbers of 32 bits to be the same. */
    @Test
    void aPlaceIsToldWholeAndTwoThatHashAlikeAreTwo() {
        NcclHost.Place one = new NcclHost.Place(new UUID(1, 2), 0);
        NcclHost.Place other = new NcclHost.Place(new UUID(2, 1), 0);
        assertThat(one).hasSameHashCodeAs(other).isNotEqualTo(other);
        for (NcclHost.Place each : List.of(one, other, new NcclHost.Place(UUID.randomUUID(), 7))) {
            NcclGroups.Equipment mine = new NcclGroups.Equipment(3, 22800, 9, 0, each);
            assertThat(NcclGroups.Equipment.of(3, mine.toRecord())).isEqualTo(mine);
        }
    }

    @Test
    void groupsThatEachStayOnOneHostMakeAWorldOfTwo() {
        ProcessGroup alone = ProcessGroup.of("tp", 1, 1);
        assertThatCode(() -> NcclHost.requireOne(alone, roster(HERE.withHost(8, "gpu-b")), Map.of()))
                .doesNotThrowAnyException();
    }

    @Test
    void ranksOfOneHostAreJoinedAndThoseOfWhichTheEnvironmentSaysHow() {
        assertThatCode(() -> {
                    NcclHost.requireOne(BOTH, roster(HERE), Map.of());
                    NcclHost.requireOne(BOTH, roster(HERE.withHost(8, "gpu-b")), Map.of("NCCL_SOCKET_IFNAME", "eth0"));
                })
                .doesNotThrowAnyException();
    }
}
