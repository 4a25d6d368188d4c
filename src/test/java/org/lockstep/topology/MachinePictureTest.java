package org.lockstep.topology;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class MachinePictureTest {
    @Test
    void fourRanks() {
        ProcessGrid grid = ProcessGrid.of(4, ParallelSizes.tensor(2).withPipeline(2));
        assertThat(MachinePicture.of(grid)).hasToString("""
                4 ranks = tensor 2 × pipeline 2 × data 1
                replica 0
                  pipeline stage 0   rank 0  rank 1
                  pipeline stage 1   rank 2  rank 3""");
    }

    @Test
    void oneRank() {
        assertThat(MachinePicture.of(ProcessGrid.of(1, ParallelSizes.tensor(1))))
                .hasToString("""
                1 rank = tensor 1 × pipeline 1 × data 1
                replica 0
                  pipeline stage 0   rank 0""");
    }

    @Test
    void layersOfEachStage() {
        ProcessGrid grid = ProcessGrid.of(3, ParallelSizes.pipeline(3));
        assertThat(MachinePicture.of(grid).withLayers(10)).hasToString("""
                3 ranks = tensor 1 × pipeline 3 × data 1
                replica 0
                  pipeline stage 0  layers 0-2   rank 0
                  pipeline stage 1  layers 3-6   rank 1
                  pipeline stage 2  layers 7-9   rank 2""");
    }

    @Test
    void chunksOfAVirtualPipelineOffsetAndSplitRank() {
        ParallelSizes sizes =
                ParallelSizes.tensor(1).withPipeline(2).withVirtualPipeline(2).withSplitRank(1);
        ProcessGrid grid = ProcessGrid.of(4, sizes, RankOrder.parse("tp-pp-dp"), 8);
        assertThat(MachinePicture.of(grid).withLayers(16)).hasToString("""
                4 ranks = tensor 1 × pipeline 2 × data 2, order tp-pp-dp, from rank 8, 2 chunks of layers on each stage,\
                 decoder from stage 1
                replica 0
                  pipeline stage 0  layers  0-3   8-11   rank  8
                  pipeline stage 1  layers  4-7  12-15   rank  9
                replica 1
                  pipeline stage 0  layers  0-3   8-11   rank 10
                  pipeline stage 1  layers  4-7  12-15   rank 11""");
    }

    @Test
    void contextRanksStandApart() {
        ProcessGrid grid =
                ProcessGrid.of(8, ParallelSizes.tensor(2).withContext(2).withPipeline(2));
        assertThat(MachinePicture.of(grid)).hasToString("""
                8 ranks = tensor 2 × context 2 × pipeline 2 × data 1
                replica 0 (context 0 │ 1)
                  pipeline stage 0   rank 0  rank 1  │  rank 2  rank 3
                  pipeline stage 1   rank 4  rank 5  │  rank 6  rank 7""");
    }

    @Test
    void hostsDevicesAndTheGroupsAcrossHosts() {
        ProcessGrid grid = ProcessGrid.of(8, ParallelSizes.tensor(2).withPipeline(2));
        assertThat(MachinePicture.of(grid, placement(grid, 3))).hasToString("""
                8 ranks = tensor 2 × pipeline 2 × data 2, on 3 hosts
                replica 0
                  pipeline stage 0   rank 0  rank 1   a: 0 1
                  pipeline stage 1   rank 4  rank 5   c: 0 1
                replica 1
                  pipeline stage 0   rank 2  rank 3   b: 0 1
                  pipeline stage 1   rank 6  rank 7   a: 2, b: 2
                groups across hosts
                  tp     1 of 4: {6,7} on a, b
                  pp     3 of 4: {0,4} on a, c; …; {2,6} on b, a
                  dp     4 of 4: {0,2} on a, b; …; {5,7} on c, b
                  model  2 of 2: {0,1,4,5} on a, c; {2,3,6,7} on b, a""");
    }

    @Test
    void aLargeWorldShowsItsFirstReplicas() {
        ProcessGrid grid = ProcessGrid.of(1000, ParallelSizes.tensor(4).withPipeline(2));
        assertThat(MachinePicture.of(grid).toString().lines())
                .hasSize(1 + 8 * 3 + 1)
                .startsWith(
                        "1000 ranks = tensor 4 × pipeline 2 × data 125",
                        "replica 0",
                        "  pipeline stage 0   rank   0  rank   1  rank   2  rank   3",
                        "  pipeline stage 1   rank 500  rank 501  rank 502  rank 503")
                .endsWith("… and 117 more replicas like these");
    }

    @Test
    void aHugeReplicaShowsItsEnds() {
        ProcessGrid grid = ProcessGrid.of(100_000, ParallelSizes.tensor(100).withPipeline(500));
        assertThat(MachinePicture.of(grid, placement(grid, 10_000)).toString().lines())
                .hasSizeLessThan(24)
                .contains(
                        "  … and 491 more stages like these",
                        "… and 1 more replica like this",
                        "  pipeline stage 499   rank 99800  rank 99801  rank 99802  rank 99803  rank 99804  rank 99805"
                                + "  rank 99806  rank 99807  …  rank 99899   h9980, h9981, …, h9989 (10 hosts)");
    }

    @Test
    void groupsByKind() {
        ProcessGrid grid = ProcessGrid.of(8, ParallelSizes.tensor(2).withPipeline(2));
        assertThat(MachinePicture.of(grid).groups("tp-dp")).isEqualTo("""
                groups
                  tp                 4 of 2 ranks: {0,1} {2,3} {4,5} {6,7}
                  pp                 4 of 2 ranks: {0,4} {1,5} {2,6} {3,7}
                  dp                 4 of 2 ranks: {0,2} {1,3} {4,6} {5,7}
                  model              2 of 4 ranks: {0,1,4,5} {2,3,6,7}
                  embedding          4 of 2 ranks: {0,4} {1,5} {2,6} {3,7}
                  positionEmbedding  4 of 1 rank: {0} {1} {2} {3}
                  tp-dp              2 of 4 ranks: {0,1,2,3} {4,5,6,7}""");
    }

    @Test
    void groupsOfExpertsAndOfLargeWorlds() {
        ProcessGrid grid =
                ProcessGrid.of(64, ParallelSizes.tensor(1).withPipeline(2).withExpert(16));
        assertThat(MachinePicture.of(grid).toString().lines().skip(1))
                .startsWith("         = expert tensor 1 × expert 16 × pipeline 2 × expert data 2");
        assertThat(MachinePicture.of(
                                ProcessGrid.of(4096, ParallelSizes.tensor(2).withExpert(8)))
                        .groups()
                        .lines())
                .contains(
                        "  tp                 2048 of 2 ranks: {0,1} {2,3} … {4094,4095}",
                        "  ep                 512 of 8 ranks: {0,2,4,6,8,10,12,14} {1,3,5,7,9,11,13,15} …"
                                + " {4081,4083,4085,4087,4089,4091,4093,4095}",
                        "  dp                 2 of 2048 ranks: {0,2,4,6,8,10,12,14,…,4094} {1,3,5,7,9,11,13,15,…,4095}");
    }

    @Test
    void whatDoesNotFitIsRefused() {
        ProcessGrid grid = ProcessGrid.of(4, ParallelSizes.pipeline(4));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> MachinePicture.of(grid).withLayers(3))
                .withMessageContaining("layers (3) are too few for pipeline (4)");
        ProcessGrid smaller = ProcessGrid.of(2, ParallelSizes.tensor(2));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> MachinePicture.of(grid, placement(smaller, 1)))
                .withMessage("slots (2) are not as many as world size (4)");
    }

    /** Partitions dealt round-robin. */
    private static Placement placement(ProcessGrid grid, int hosts) {
        List<Placement.Slot> slots = IntStream.range(0, grid.worldSize())
                .mapToObj(i -> new Placement.Slot(
                        hosts > 26 ? "h" + i % hosts : Character.toString('a' + i % hosts), "" + i / hosts, i))
                .toList();
        return Placement.of(grid, slots);
    }
}
