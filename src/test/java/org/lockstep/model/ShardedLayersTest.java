package org.lockstep.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.checkpoint.Checkpoint;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.collective.Communicator;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.Tensor;
import org.lockstep.tensor.Weight;

/** Each layer, cut over tensor ranks, gives on every rank the bits of the whole one. */
@Timeout(60)
class ShardedLayersTest {
    private static final int TOKENS = 5;
    private static final String LAYER = "model.layers.1";

    private final SyntheticModel model = SyntheticModel.awkward();
    private final ModelConfig config = model.config();

    @TempDir
    private Path folder;

    private ModelFiles files;

    @BeforeEach
    void write() {
        files = model.write(folder);
    }

    /** What a layer needs, on one rank. */
    private record Rank(
            Parameters parameters, Kernels kernels, Communicator tensor, StageMemory memory, ShardPlan plan) {
        Tensor zeros(long... dims) {
            return memory.zeros(DataType.F32, dims);
        }
    }

    private interface Layer {
        Tensor run(Rank rank);
    }

    private List<float[]> run(int ranks, Layer layer) {
        return ModelWorld.run(ranks, 1, (state, communicators, kernels) -> {
            try (Checkpoint checkpoint = Checkpoint.open(files);
                    StageMemory memory = new StageMemory(kernels)) {
                Communicator tensor = communicators.tensor();
                ShardPlan plan = ShardPlan.of(config, tensor.rankInGroup(), tensor.size());
                Rank rank = new Rank(new Parameters(checkpoint, memory, null), kernels, tensor, memory, plan);
                return layer.run(rank).buffer().toHost().toFloats();
            }
        });
    }

    private void assertShardedIsDense(int ranks, Layer layer) {
        float[] dense = run(1, layer).get(0);
        assertThat(run(ranks, layer))
                .hasSize(ranks)
                .allSatisfy(shard -> assertThat(shard).isEqualTo(dense));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void columnsOfAColumnParallelLinearSideBySideAreTheDenseOutput(int ranks) {
        float[] x = random(TOKENS * 24);
        List<float[]> shards = run(ranks, rank -> {
            int share = 40 / ranks;
            int from = rank.plan().rank() * share;
            Tensor out = rank.zeros(TOKENS, share);
            ColumnParallelLinear.load(
                            rank.parameters(), rank.kernels(), LAYER + ".mlp.up_proj", 24, 40, from, share, true)
                    .forward(Tensor.of(Buffer.ofFloats(x), TOKENS, 24), out);
            return out;
        });
        float[] expected = dense(LAYER + ".mlp.up_proj", x, 24, 40);
        for (int i = 0; i < expected.length; i++) {
            int column = i % 40;
            int share = 40 / ranks;
            assertThat(shards.get(column / share)[i / 40 * share + column % share])
                    .isCloseTo(expected[i], within(1e-5f));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void rowParallelLinearIsTheDenseOneAndAddsItsBiasOnce(int ranks) {
        float[] x = random(TOKENS * 40);
        Layer layer = rank -> {
            int share = 40 / rank.tensor().size();
            Tensor mine = rank.zeros(TOKENS, share);
            for (int t = 0; t < TOKENS; t++) {
                int from = t * 40 + rank.plan().rank() * share;
                HostBuffer part = Buffer.ofFloats(Arrays.copyOfRange(x, from, from + share));
                mine.rows(t, 1).buffer().toHost().copyFrom(part);
            }
            Tensor out = rank.zeros(TOKENS, 24);
            RowParallelLinear.load(
                            rank.parameters(),
                            rank.kernels(),
                            rank.tensor(),
                            LAYER + ".mlp.down_proj",
                            40,
                            24,
                            rank.plan().mlpSegments(),
                            true)
                    .forward(mine, out);
            return out;
        };
        assertShardedIsDense(ranks, layer);
        float[] expected = dense(LAYER + ".mlp.down_proj", x, 40, 24);
        assertThat(run(ranks, layer).get(0)).usingComparatorWithPrecision(1e-5f).containsExactly(expected);
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 4})
    void embeddingOfAVocabularyThatDoesNotDivide(int ranks) {
        int[] ids = {0, 36, 18, 19, 9};
        Layer layer = rank -> {
            Tensor out = rank.zeros(TOKENS, 24);
            VocabParallelEmbedding.load(rank.parameters(), rank.kernels(), rank.tensor(), config, rank.plan())
                    .forward(ids, out);
            return out;
        };
        assertShardedIsDense(ranks, layer);
        float[] table = weights("model.embed_tokens.weight");
        float[] rows = run(ranks, layer).get(0);
        for (int t = 0; t < ids.length; t++) {
            assertThat(Arrays.copyOfRange(rows, t * 24, t * 24 + 24))
                    .isEqualTo(Arrays.copyOfRange(table, ids[t] * 24, ids[t] * 24 + 24));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 4, 8})
    void headJoinsRowsAndCutsThePaddingOffAlsoWhenItsRoomGrows(int ranks) {
        float[] x = random(TOKENS * 24);
        assertShardedIsDense(ranks, rank -> {
            Weight table = ParallelLmHead.loadTable(rank.parameters(), config, rank.plan());
            ParallelLmHead head = new ParallelLmHead(rank.kernels(), rank.tensor(), rank.memory(), table, 37);
            Tensor input = Tensor.of(Buffer.ofFloats(x), TOKENS, 24);
            float[] one = head.forward(input.rows(2, 1)).buffer().toHost().toFloats();
            Tensor all = head.forward(input); // (TOKENS, 37)
            assertThat(all.rows(2, 1).buffer().toHost().toFloats()).isEqualTo(one);
            assertThat(head.forward(input.rows(0, 0)).shape().dim(0)).isZero();
            return head.forward(input);
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 4, 8})
    void attentionWithFewerKeyValueHeadsThanRanks(int ranks) {
        assertShardedIsDense(ranks, rank -> {
            RunState.Activations a = activations(rank);
            Attention.load(
                            rank.parameters(),
                            rank.kernels(),
                            rank.tensor(),
                            RotaryTable.of(config, 8, rank.memory()),
                            LAYER + ".self_attn",
                            config,
                            rank.plan())
                    .forward(a, layout(), cache(rank).layers().get(0));
            return a.delta();
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 4, 8})
    void mlp(int ranks) {
        assertShardedIsDense(ranks, rank -> {
            RunState.Activations a = activations(rank);
            Mlp.load(rank.parameters(), rank.kernels(), rank.tensor(), LAYER + ".mlp", config, rank.plan())
                    .forward(a);
            return a.delta();
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 4, 8})
    void decoderLayer(int ranks) {
        assertShardedIsDense(ranks, rank -> {
            RunState.Activations a = activations(rank);
            DecoderLayer.load(
                            rank.parameters(),
                            rank.kernels(),
                            rank.tensor(),
                            RotaryTable.of(config, 8, rank.memory()),
                            1,
                            config,
                            rank.plan())
                    .forward(a, layout(), cache(rank).layers().get(0), false);
            rank.kernels().add(a.hidden(), a.delta());
            return a.hidden();
        });
    }

    @Test
    void plansCutEveryHeadColumnAndTokenOnce() {
        for (int ranks : new int[] {1, 2, 4, 8}) {
            for (int rank = 0; rank < ranks; rank++) {
                ShardPlan plan = ShardPlan.of(config, rank, ranks);
                assertThat(plan.heads() * ranks).isEqualTo(8);
                assertThat(plan.intermediate() * ranks).isEqualTo(40);
                assertThat(plan.vocabularyRows() * ranks).isBetween(37, 37 + ranks - 1);
                assertThat(plan.attentionSegments() * ranks).isEqualTo(8);
                // the first query head of a rank reads the key/value head that the whole model would give it
                assertThat(plan.firstKeyValueHead()).isEqualTo(rank * plan.heads() * 2 / 8);
            }
        }
    }

    private RunState.Activations activations(Rank rank) {
        RunState.Activations a =
                RunState.allocate(rank.memory(), config, rank.plan(), 9, false).of(TOKENS);
        a.hidden().buffer().toHost().copyFrom(Buffer.ofFloats(random(TOKENS * 24)));
        a.normed().buffer().toHost().copyFrom(Buffer.ofFloats(random(TOKENS * 24)));
        return a;
    }

    private KvCache cache(Rank rank) {
        return KvCache.allocate(
                rank.memory(), new CacheSize(4, 3, DataType.F32), 1, rank.plan().keyValueHeads(), config.headSize());
    }

    private static BatchLayout layout() {
        return new BatchLayout(new int[] {0, 4, 5}, new int[] {4, 1}, new int[][] {{3, 1}, {0}}, 3);
    }

    private static float[] random(int count) {
        Random random = new Random(11);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    private float[] weights(String name) {
        try (Checkpoint checkpoint = Checkpoint.open(files)) {
            return checkpoint.read(name).toFloats();
        }
    }

    private float[] dense(String name, float[] x, int in, int out) {
        float[] weight = weights(name + ".weight");
        float[] bias = weights(name + ".bias");
        float[] y = new float[TOKENS * out];
        for (int i = 0; i < y.length; i++) {
            double sum = bias[i % out];
            for (int k = 0; k < in; k++) {
                sum += (double) x[i / out * in + k] * weight[i % out * in + k];
            }
            y[i] = (float) sum;
        }
        return y;
    }
}
