package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.FaultLog;
import org.lockstep.collective.Backend;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.topology.ParallelSizes;

/** A rank that dies between the meeting and its first connection (F03). */
@Timeout(60)
@FaultCase("F03")
class DeathBeforeConnectingTest {
    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void whoCallsAtItsDoorKnowsAtOnce(int dead) {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(3))
                .withTransports(Set.of(TransportKind.TCP))
                .withMeetingTimeout(Duration.ofSeconds(5));
        long start = System.nanoTime();
        AtomicLong known = new AtomicLong();
        List<String> ends = LocalWorld.of(3).withVenues(3).run(rendezvous -> {
            Backend cpu = CpuBackend.create();
            try (Backend backend = rendezvous.index() == dead ? ConnectsBy.dying(cpu) : cpu;
                    World world = World.join(rendezvous, backend, spec)) {
                return "joined " + world;
            } catch (IllegalStateException planned) {
                return "dead";
            } catch (CommunicatorException told) {
                if (rendezvous.index() == 2) {
                    known.set(System.nanoTime() - start);
                }
                return told.getMessage();
            }
        });
        assertThat(ends.get(dead)).isEqualTo("dead");
        assertThat(ends.get(2))
                .as("it calls at the doors of all lower ranks")
                .startsWith(
                        ErrorCode.PEER_LOST.label() + "  rank 2 cannot reach rank " + dead + " at [127.0.0.1] port ")
                .contains("culprit : rank " + dead);
        FaultLog.released("F03", Duration.ofNanos(known.get()));
    }
}
