package org.lockstep.topology;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.lockstep.topology.Placement.Slot;

class PlacementTest {
    /** Spark deals the partitions of a barrier stage round-robin over its executors. */
    @Test
    void tensorGroupsStayInsideAnExecutorAlthoughPartitionsAreDealtRoundRobin() {
        ProcessGrid grid = ProcessGrid.of(4, ParallelSizes.tensor(2).withPipeline(2));
        Placement placement = Placement.of(grid, dealt("a b a b"));
        assertThat(hosts(placement)).isEqualTo("a a b b");
        assertThat(IntStream.range(0, 4).map(placement::rank)).containsExactly(0, 2, 1, 3);
        assertThat(IntStream.range(0, 4).map(placement::partition)).containsExactly(0, 2, 1, 3);
        assertThat(IntStream.range(0, 4).map(placement::localRank)).containsExactly(0, 1, 0, 1);
        assertThat(IntStream.range(0, 4).map(placement::ranksOnHost)).containsExactly(2, 2, 2, 2);
        assertThat(placement.spanning(GroupKind.TENSOR)).isEmpty();
        assertThat(placement.spanning(GroupKind.PIPELINE))
                .extracting(Object::toString)
                .containsExactly("pp[0]={0,2} spans hosts a, b", "pp[1]={1,3} spans hosts a, b");
        assertThat(placement).hasToString("a: 0 1\nb: 2 3");
    }

    @Test
    void hostsComeByTheirSmallestPartitionAndDevicesByTheirOrder() {
        ProcessGrid grid = ProcessGrid.of(4, ParallelSizes.tensor(2));
        Placement placement = Placement.of(
                grid,
                List.of(
                        new Slot("z", "0000:5e:00.0", 0),
                        new Slot("a", "0000:5e:00.0", 1),
                        new Slot("a", "0000:3b:00.0", 2),
                        new Slot("z", "0000:3b:00.0", 3)));
        assertThat(placement.hosts()).containsExactly("z", "a");
        assertThat(IntStream.range(0, 4).map(placement::partition)).containsExactly(3, 0, 2, 1);
    }

    @Test
    void sixteenRanksOverTwoHostsAreTheDocstringsBoxes() {
        ProcessGrid grid = ProcessGrid.of(16, ParallelSizes.tensor(2).withPipeline(4));
        Placement placement = Placement.of(grid, dealt("a b a b a b a b a b a b a b a b"));
        assertThat(hosts(placement)).isEqualTo("a a a a a a a a b b b b b b b b");
        assertThat(placement.spanning(GroupKind.TENSOR)).isEmpty();
        assertThat(placement.spanning(GroupKind.DATA)).isEmpty();
        assertThat(placement.spanning(GroupKind.PIPELINE)).hasSize(4);
    }

    @Test
    void raggedHostsKeepAsManyTensorGroupsWholeAsCanBe() {
        ProcessGrid grid = ProcessGrid.of(8, ParallelSizes.tensor(2));
        Placement placement = Placement.of(grid, dealt("a b a b a b b b"));
        assertThat(hosts(placement)).isEqualTo("a a b b b b a b");
        assertThat(placement.spanning(GroupKind.TENSOR))
                .extracting(Object::toString)
                .containsExactly("tp[3]={6,7} spans hosts a, b");
        assertThat(placement.localRank(6)).isEqualTo(2);
        assertThat(placement.localRank(7)).isEqualTo(4);
    }

    @Test
    void wholeReplicasComeBeforeWholeTensorGroups() {
        ProcessGrid grid = ProcessGrid.of(16, ParallelSizes.tensor(2).withPipeline(4), RankOrder.TP_PP_DP);
        Placement placement = Placement.of(grid, dealt("a b c a b c a b c a b c b b b b"));
        assertThat(hosts(placement)).isEqualTo("b b b b b b b b a a a a c c c c");
        assertThat(placement.spanning(GroupKind.MODEL)).hasSize(1);
    }

    @Test
    void noPlacementKeepsMoreTensorGroupsWhole() {
        Random random = new Random(7);
        for (int round = 0; round < 300; round++) {
            int tensor = 1 << random.nextInt(4);
            int world = tensor * (1 + random.nextInt(8));
            List<Slot> slots = new ArrayList<>();
            for (int partition = 0; partition < world; partition++) {
                slots.add(new Slot("host-" + random.nextInt(4), "" + random.nextInt(8), partition));
            }
            Map<String, Integer> counts = new HashMap<>();
            slots.forEach(slot -> counts.merge(slot.host(), 1, Integer::sum));
            int possible = counts.values().stream().mapToInt(n -> n / tensor).sum();

            ProcessGrid grid = ProcessGrid.of(world, ParallelSizes.tensor(tensor));
            Placement placement = Placement.of(grid, slots);
            assertThat(world / tensor - placement.spanning(GroupKind.TENSOR).size())
                    .isEqualTo(possible);

            List<Slot> shuffled = new ArrayList<>(slots);
            Collections.shuffle(shuffled, random);
            assertThat(Placement.of(grid, shuffled).slots()).isEqualTo(placement.slots());
            for (int partition = 0; partition < world; partition++) {
                assertThat(placement.partition(placement.rank(partition))).isEqualTo(partition);
            }
        }
    }

    @Test
    void theCallerMayDecide() {
        ProcessGrid grid = ProcessGrid.of(4, ParallelSizes.tensor(2));
        List<Slot> slots = dealt("a b a b");
        assertThat(Placement.inOrder(grid, slots).slots()).isEqualTo(slots);
        assertThat(Placement.inOrder(grid, slots).spanning(GroupKind.TENSOR)).hasSize(2);
    }

    @Test
    void ranksCountFromTheOffset() {
        ProcessGrid grid = ProcessGrid.of(4, ParallelSizes.tensor(2), RankOrder.DEFAULT, 8);
        Placement placement = Placement.of(grid, dealt("a b a b"));
        assertThat(placement.rank(2)).isEqualTo(9);
        assertThat(placement.host(10)).isEqualTo("b");
        assertThat(placement.localRank(11)).isEqualTo(1);
        assertThat(placement.spanning(GroupKind.DATA)).hasSize(2);
        assertThatIllegalArgumentException()
                .isThrownBy(() -> placement.host(0))
                .withMessage("rank (0) must be in 8..11");
    }

    @Test
    void slotsThatAreNotTheWorldAreRefused() {
        ProcessGrid grid = ProcessGrid.of(4, ParallelSizes.tensor(2));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Placement.of(grid, dealt("a b a")))
                .withMessage("slots (3) are not as many as world size (4)");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Placement.of(
                        grid,
                        List.of(
                                new Slot("a", "", 0),
                                new Slot("a", "", 1),
                                new Slot("a", "", 1),
                                new Slot("a", "", 3))))
                .withMessage("partition (1) has two slots");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Placement.of(
                        grid,
                        List.of(
                                new Slot("a", "", 0),
                                new Slot("a", "", 1),
                                new Slot("a", "", 2),
                                new Slot("a", "", 4))))
                .withMessage("partition (4) must be in 0..3");
    }

    /** One slot for each word; the word is the host, its place the partition. */
    private static List<Slot> dealt(String hosts) {
        List<String> words = Arrays.asList(hosts.split(" "));
        return IntStream.range(0, words.size())
                .mapToObj(partition -> new Slot(words.get(partition), "", partition))
                .toList();
    }

    private static String hosts(Placement placement) {
        return String.join(" ", placement.slots().stream().map(Slot::host).toList());
    }
}
