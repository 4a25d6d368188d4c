package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.ProcessGrid;
import org.lockstep.topology.ProcessGroup;
import org.lockstep.topology.RankOrder;

class GroupPlanTest {
    private static GroupPlan plan(int world, ParallelSizes sizes) {
        return GroupPlan.of(
                ProcessGrid.of(world, sizes, RankOrder.DEFAULT),
                Set.of(GroupKind.WORLD, GroupKind.TENSOR, GroupKind.PIPELINE, GroupKind.DATA, GroupKind.MODEL));
    }

    @Test
    void groupsOfTheSameRanksAreOneUnderTheMostTellingName() {
        GroupPlan plan = plan(4, ParallelSizes.tensor(4));
        assertThat(plan.several()).isEqualTo(1);
        Map<GroupKind, ProcessGroup> mine = plan.ofRank(2);
        assertThat(mine.get(GroupKind.WORLD).toString()).startsWith("tp[0]=");
        assertThat(mine.get(GroupKind.WORLD)).isSameAs(mine.get(GroupKind.TENSOR));
        assertThat(plan.inOrder(2)).hasSize(2); // that one, and rank 2 alone
    }

    @Test
    void eachRankMeetsItsGroupsInTheOneOrderOfAll() {
        GroupPlan plan = plan(8, ParallelSizes.tensor(2).withPipeline(2));
        for (int rank = 0; rank < 8; rank++) {
            int[] numbers = plan.inOrder(rank).stream()
                    .map(plan::number)
                    .filter(number -> number.isPresent())
                    .mapToInt(number -> number.getAsInt())
                    .toArray();
            assertThat(numbers).isSorted().doesNotHaveDuplicates();
        }
        // 4 tensor, 4 pipeline, 4 data, 2 model groups, the world
        assertThat(plan.several()).isEqualTo(15);
        assertThat(plan.number(ProcessGroup.of("any", 0, 3))).isEmpty();
    }

    @Test
    void partiesMakeTheirSharesOfTheIdsAndNoneToSpare() {
        GroupPlan plan = plan(8, ParallelSizes.tensor(2).withPipeline(2));
        int[] shares = IntStream.range(0, 8).map(party -> plan.share(party, 8)).toArray();
        assertThat(shares).containsExactly(2, 2, 2, 2, 2, 2, 2, 1);
        assertThat(plan(1, ParallelSizes.tensor(1)).share(0, 1)).isZero();
    }
}
