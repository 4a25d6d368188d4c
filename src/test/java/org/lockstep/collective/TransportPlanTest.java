package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.Placement;
import org.lockstep.topology.ProcessGrid;

class TransportPlanTest {
    private static final Set<TransportKind> ALL = EnumSet.allOf(TransportKind.class);

    /** Eight ranks, so many a host and so many a JVM, from rank 100 on. */
    private static TransportPlan plan(int perHost, int perJvm, Set<TransportKind> allowed) {
        ParallelSizes sizes = ParallelSizes.tensor(2).withPipeline(2);
        ProcessGrid grid = ProcessGrid.of(8, sizes, org.lockstep.topology.RankOrder.parse("tp-pp-dp"), 100);
        List<Placement.Slot> slots = IntStream.range(0, 8)
                .mapToObj(i -> new Placement.Slot("host-" + i / perHost, "jvm-" + i / perJvm, i))
                .toList();
        return TransportPlan.of(grid, Placement.of(grid, slots), Placement.Slot::device, allowed);
    }

    private static String words(TransportPlan plan, GroupKind kind) {
        return plan.pairs(kind).toString();
    }

    @Test
    void threadsThenSharedMemoryThenSockets() {
        TransportPlan plan = plan(4, 2, ALL);
        assertThat(plan.lines(
                        "transports", List.of(GroupKind.TENSOR, GroupKind.PIPELINE, GroupKind.DATA, GroupKind.MODEL)))
                .isEqualTo("""
                        transports
                          tp     4 of 2 ranks: threads of one JVM
                          pp     4 of 2 ranks: shared memory between JVMs of a host
                          dp     4 of 2 ranks: tcp between hosts
                          model  2 of 4 ranks: threads 4 pairs, shared 8 pairs""");
        assertThat(plan.pairs(GroupKind.WORLD)).isEqualTo(new TransportPlan.Pairs(1, 8, 4, 8, 16, 0));
    }

    @Test
    void whatIsNotAllowedIsCarriedFurtherOut() {
        assertThat(words(plan(4, 2, EnumSet.of(TransportKind.SHARED)), GroupKind.TENSOR))
                .isEqualTo("4 of 2 ranks: shared memory between JVMs of a host");
        TransportPlan sockets = plan(4, 2, Set.of());
        assertThat(words(sockets, GroupKind.TENSOR)).isEqualTo("4 of 2 ranks: tcp inside a host");
        assertThat(words(sockets, GroupKind.WORLD)).isEqualTo("1 of 8 ranks: tcp");
        assertThat(words(plan(4, 2, EnumSet.of(TransportKind.THREAD)), GroupKind.MODEL))
                .isEqualTo("2 of 4 ranks: threads 4 pairs, tcp 8 pairs");
    }

    @Test
    void aRankAloneHasNobodyToReach() {
        assertThat(words(plan(8, 8, ALL), GroupKind.POSITION_EMBEDDING)).isEqualTo("4 of 1 rank: nobody to reach");
    }
}
