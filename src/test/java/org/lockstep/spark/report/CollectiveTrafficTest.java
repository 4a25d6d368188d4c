package org.lockstep.spark.report;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.topology.GroupKind;

/** What ranks waited for each other, and how their reports read on Spark's pages. */
class CollectiveTrafficTest {
    private static RankReport rank(int rank, GroupTraffic... groups) {
        return new RankReport(
                rank,
                0,
                "gpu-a",
                false,
                0,
                0,
                0,
                (4_000 + 100 * rank) * 1_000_000L,
                0,
                2_000 * 1_000_000L,
                new Timeline(0, 0),
                new Latencies(),
                List.of(groups),
                Map.of());
    }

    private static GroupTraffic tensor(int group, long nanos) {
        return new GroupTraffic(GroupKind.TENSOR, group, 2, Operation.ALL_REDUCE, 10, 1000, nanos);
    }

    @Test
    void whoComesLastDoesNotWait() {
        List<RankReport> ranks = List.of(
                rank(
                        0,
                        tensor(0, 50),
                        new GroupTraffic(GroupKind.PIPELINE, 0, 4, Operation.SEND, 3, 70, 9),
                        new GroupTraffic(GroupKind.PIPELINE, 0, 4, Operation.BROADCAST, 1, 8, 2)),
                rank(1, tensor(0, 450)),
                rank(2, tensor(1, 200)),
                rank(3, tensor(1, 100)));

        assertThat(CollectiveTraffic.of(ranks))
                .containsExactlyInAnyOrder(
                        new CollectiveTraffic(GroupKind.TENSOR, Operation.ALL_REDUCE, 2, 40, 4000, 800, 500),
                        new CollectiveTraffic(GroupKind.PIPELINE, Operation.BROADCAST, 4, 1, 8, 2, 0),
                        new CollectiveTraffic(GroupKind.PIPELINE, Operation.SEND, 4, 3, 70, 9, 0));
        assertThat(CollectiveTraffic.of(List.of())).isEmpty();
    }

    @Test
    void anAccumulatorOfReportsIsALine() {
        ReportAccumulator all = new ReportAccumulator();
        assertThat(all.value()).hasToString("none yet");
        all.add(rank(0));
        assertThat(all.value()).hasToString("rank 0 on gpu-a, 4.0 s, 50 % in collectives");
        ReportAccumulator more = new ReportAccumulator();
        more.add(rank(1));
        more.add(rank(2));
        all.merge(more);
        assertThat(all.value()).hasToString("3 ranks, 4.0 to 4.2 s each, 49 % in collectives");
        assertThat(more.copy().value().ranks()).hasSize(2);
        more.reset();
        assertThat(more.isZero()).isTrue();
    }
}
