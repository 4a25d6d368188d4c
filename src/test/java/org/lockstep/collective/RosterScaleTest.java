package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.Heap;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.ParallelState;

/** What a world of ten thousand costs each of its ranks: its roster, placement, grid and own groups. */
@Timeout(120)
class RosterScaleTest {
    private static final int HOSTS = 1250;
    private static final int GPUS = 8;
    private static final int RANKS = HOSTS * GPUS;

    /** Partitions are dealt round-robin over the hosts, each with one JVM and eight GPUs. */
    private static List<String> records(WorldSpec spec) {
        List<String> records = new ArrayList<>();
        Hello.Settings settings = spec.settingsDigest();
        for (int partition = 0; partition < RANKS; partition++) {
            int host = partition % HOSTS;
            int gpu = partition / HOSTS;
            Identity identity = new Identity(
                    "app-20261122103000-0001",
                    7,
                    0,
                    1000L + host,
                    42,
                    "gpu-node-" + host + ".cluster.internal",
                    new Identity.Gpu(new UUID(host, gpu), false, 0, 0x10 + gpu, 0));
            records.add(new Hello(
                            spec.attempt(),
                            "0.1.0",
                            identity,
                            partition,
                            host,
                            "cuda",
                            List.of("10.1." + host / 250 + "." + host % 250),
                            40000,
                            spec.sizes(),
                            spec.order(),
                            settings,
                            List.of())
                    .encode(spec.key()));
        }
        return records;
    }

    private static long allocatedHere() {
        return ((com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean()).getCurrentThreadAllocatedBytes();
    }

    @Test
    void tenThousandRanks() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(8).withPipeline(5));
        List<String> records = records(spec);
        assertThat(records).allMatch(record -> record.length() <= Hello.MAX_CHARS);
        long least =
                Long.MAX_VALUE; // of CPU: the first round is Java's interpreter's, and cores differ by more than two
        for (int round = 1; round <= 3; round++) {
            long before = Heap.used();
            long allocated = allocatedHere();
            long cpu = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
            long start = System.nanoTime();
            Roster roster = Roster.of(records, spec);
            long made = System.nanoTime();
            int rank = roster.rank(RANKS - 1);
            ParallelState state = roster.grid().state(rank);
            int members = 0;
            for (GroupKind kind : GroupKind.values()) {
                members += state.group(kind).map(group -> group.size()).orElse(0);
            }
            long end = System.nanoTime();
            cpu = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() - cpu;
            allocated = allocatedHere() - allocated;
            long after = Heap.used();
            System.out.printf(
                    Locale.ROOT,
                    "%,d ranks, round %d: roster %.0f ms, groups of one rank %.2f ms, %,d members; %.0f ms of CPU, %.1f MiB kept of %.1f made%n",
                    RANKS,
                    round,
                    (made - start) / 1e6,
                    (end - made) / 1e6,
                    members,
                    cpu / 1e6,
                    (after - before) / 1048576.0,
                    allocated / 1048576.0);
            least = Math.min(least, cpu);
            assertThat(after - before)
                    .as("bytes that are kept; 64 MiB would do")
                    .isLessThan(2048L * RANKS);
            assertThat(roster.size()).isEqualTo(RANKS);
            assertThat(state.rank()).isEqualTo(rank); // its groups were kept until here
            assertThat(roster.spanning(GroupKind.TENSOR)).isEmpty();
            assertThat(roster.ranksOnHost(rank)).isEqualTo(GPUS);
            ParallelState first = roster.grid().state(0);
            assertThat(first.tensorModelParallelGroup().stream())
                    .allMatch(other -> roster.transport(0, other) == TransportKind.THREAD);
            assertThat(first.pipelineModelParallelGroup().stream().skip(1))
                    .allMatch(other -> roster.transport(0, other) == TransportKind.TCP);
        }
        assertThat(least).as("nanoseconds of CPU").isLessThanOrEqualTo(1_000_000_000);
    }
}
