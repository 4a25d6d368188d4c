package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.transport.Listen;
import org.lockstep.transport.Rhythm;

@Timeout(60)
class CoresTest {
    private static CpuBackend backend(Cores cores) {
        return CpuBackend.create(Listen.loopback(), Rhythm.DEFAULT, cores);
    }

    @ParameterizedTest
    @CsvSource({"6,1,1", "6,2,3", "1,1,1", "8,1,2"})
    void ranksOfAJvmShareItsCores(int total, int venues, int threads) {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(4));
        List<String> kernels = LocalWorld.of(4).withVenues(venues).run(rendezvous -> {
            try (CpuBackend backend = backend(Cores.shared(total))) {
                assertThatThrownBy(backend::kernels).hasMessageContaining("after the meeting");
                try (World world = World.join(rendezvous, backend, spec)) {
                    return backend.kernels().toString();
                }
            }
        });
        assertThat(kernels).allMatch(text -> text.endsWith(", " + threads + (threads == 1 ? " thread" : " threads")));
    }

    /** Ranks of one JVM have to leave each other their cores, whether they share them or each has some of its own. */
    @ParameterizedTest
    @CsvSource({"true,1,false", "false,1,false", "false,2,true"})
    void threadsSpinOnlyWhereThereIsACoreForThoseOfAllRanks(boolean shared, int venues, boolean spins) {
        int processors = Runtime.getRuntime().availableProcessors();
        Cores cores = shared ? Cores.shared(2 * (processors + 1)) : Cores.exactly(processors);
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2));
        LocalWorld.of(2).withVenues(venues).run(rendezvous -> {
            try (CpuBackend backend = backend(cores);
                    World world = World.join(rendezvous, backend, spec)) {
                assertThat(((CpuKernels) backend.kernels()).spins())
                        .as("rank %d", world.state().rank())
                        .isEqualTo(spins);
                return true;
            }
        });
    }

    @Test
    void ranksThatShareCoresHaveNoMoreThreadsThanThese() {
        Set<Thread> before = workers();
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2));
        LocalWorld.of(2).run(rendezvous -> {
            try (CpuBackend backend = backend(Cores.shared(7));
                    World world = World.join(rendezvous, backend, spec)) {
                Communicator all = world.communicators().world();
                all.barrier();
                Set<Thread> since = workers();
                since.removeAll(before);
                assertThat(since)
                        .as("workers beside the ranks' own threads")
                        .hasSize(6 - all.size()); // 7 are no two equal parts
                all.barrier();
                return true;
            }
        });
    }

    private static Set<Thread> workers() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().startsWith("lockstep-cpu-"))
                .collect(Collectors.toSet());
    }

    @Test
    void aRankWithCoresOfItsOwnNeedsNoMeetingAndLeavesNoThread() {
        CpuBackend backend = backend(Cores.exactly(3));
        assertThat(backend.kernels()).asString().endsWith(", 3 threads");
        backend.close();
        backend.close();
        assertThatThrownBy(backend::kernels).hasMessage("the backend is closed");
        assertThatThrownBy(() -> Cores.exactly(0)).isInstanceOf(IllegalArgumentException.class);
    }
}
