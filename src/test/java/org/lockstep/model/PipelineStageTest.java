package org.lockstep.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.Checkpoint;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Shape;
import org.lockstep.tensor.WeightType;
import org.lockstep.topology.LayerRange;
import org.lockstep.topology.ParallelSizes;

@Timeout(60)
class PipelineStageTest {
    private static final CacheSize CACHE = new CacheSize(6, 4, DataType.F32);

    @TempDir
    private Path folder;

    private interface StageWork<T> {
        T run(PipelineStage stage, Checkpoint checkpoint) throws Exception;
    }

    private static <T> List<T> run(
            SyntheticModel model, ModelFiles files, int tensor, int pipeline, StageWork<T> work) {
        return run(
                model,
                files,
                ParallelSizes.tensor(tensor).withPipeline(pipeline).withData(1),
                work);
    }

    private static <T> List<T> run(SyntheticModel model, ModelFiles files, ParallelSizes sizes, StageWork<T> work) {
        return ModelWorld.run(sizes, (state, communicators, kernels) -> {
            try (Checkpoint checkpoint = Checkpoint.open(files);
                    PipelineStage stage =
                            PipelineStage.load(model.config(), checkpoint, state, communicators, kernels, CACHE, 12)) {
                return work.run(stage, checkpoint);
            }
        });
    }

    private <T> T runAlone(SyntheticModel model, StageWork<T> work) {
        return run(model, model.write(folder), 1, 1, work).get(0);
    }

    @Test
    @FaultCase("F26")
    void aWeightThatIsNoNumberIsToldWithItsRankAndLayer() {
        SyntheticModel model = SyntheticModel.awkward();
        ModelFiles files = model.write(folder, "model.layers.1.mlp.down_proj.weight");
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2).withPipeline(1).withData(1));
        WorldSpec looking = spec.withOperations(spec.operations().withFinite(true));
        List<LockstepException> failures =
                ModelWorld.run(looking, CpuBackend::create, (state, communicators, kernels) -> {
                    try (Checkpoint checkpoint = Checkpoint.open(files);
                            PipelineStage stage = PipelineStage.load(
                                    model.config(), checkpoint, state, communicators, kernels, CACHE, 12)) {
                        LockstepException failure = catchThrowableOfType(
                                LockstepException.class,
                                () -> stage.forward(0, new int[] {3, 1}, layout(2, 0), new int[] {1}));
                        communicators.abort(failure);
                        return failure;
                    }
                });
        assertThat(failures)
                .allSatisfy(failure -> assertThat(failure)
                        .hasMessageContaining("all_reduce #5 in tp[0]={0,1}: element 0 of the 48 f32 of rank 0 is NaN")
                        .hasMessageContaining("culprit : rank 0"));
        assertThat(failures.get(0)).hasMessageContaining("layer   : model.layers.1");
        assertThat(failures)
                .extracting(LockstepException::code)
                .containsExactly(ErrorCode.NOT_FINITE, ErrorCode.ABORTED);
    }

    @Test
    void eachRankReadsOnlyItsOwnSlice() {
        SyntheticModel model = SyntheticModel.awkward();
        ModelFiles files = model.write(folder);
        long all = model.bytes("");
        assertThat(run(model, files, 1, 1, (stage, checkpoint) -> checkpoint.bytesRead()))
                .containsExactly(all);

        List<Long> split = run(model, files, 2, 2, (stage, checkpoint) -> {
            assertThat(stage.weightBytes()).isGreaterThanOrEqualTo(checkpoint.bytesRead()); // a device pads
            return checkpoint.bytesRead();
        });
        // held by both tensor ranks: norms, and the biases added after the reduction
        long replicated = model.bytes("norm.weight") + model.bytes("o_proj.bias") + model.bytes("down_proj.bias");
        assertThat(split.stream().mapToLong(Long::longValue).sum()).isEqualTo(all + replicated);
    }

    @ParameterizedTest
    @CsvSource({"1,1", "2,1", "1,2", "2,2", "4,2"})
    void whatARankWillHoldIsKnownBefore(int tensor, int pipeline) {
        SyntheticModel model = SyntheticModel.awkward();
        // What is read is f32, and held as it is but for a device's padding, which only matrices as small as these
        // feel.
        long fullest =
                run(model, model.write(folder), tensor, pipeline, (stage, checkpoint) -> checkpoint.bytesRead())
                        .stream()
                        .mapToLong(Long::longValue)
                        .max()
                        .orElseThrow();
        ParallelSizes sizes = ParallelSizes.tensor(tensor).withPipeline(pipeline);
        RankMemory known = RankMemory.of(model.config(), WeightType.F32, sizes, CACHE, 12, 3);
        assertThat(known.weights()).isBetween(fullest - fullest / 20, fullest + fullest / 20);
        assertThat(known.total()).isEqualTo(known.weights() + known.cache() + known.step());
        assertThat(RankMemory.of(model.config().withWeightType(WeightType.BF16), WeightType.F32, sizes, CACHE, 12, 3)
                        .weights())
                .isLessThan(fullest * 2 / 3);
    }

    @Test
    void theTableOfPositionsIsAsLongAsTheLongestSequence() {
        SyntheticModel model = SyntheticModel.awkward();
        ModelFiles files = model.write(folder);
        CacheSize shorter = new CacheSize(CACHE.blocks(), CACHE.blockSize(), 8, CACHE.type());
        long saved = (CACHE.tokens() - 8) * model.config().headSize() * DataType.F32.bytes();
        List<Long> held = new ArrayList<>();
        List<Long> known = new ArrayList<>();
        for (CacheSize size : List.of(CACHE, shorter)) {
            ParallelSizes alone = ParallelSizes.tensor(1).withPipeline(1).withData(1);
            held.addAll(ModelWorld.run(alone, (state, communicators, kernels) -> {
                try (Checkpoint checkpoint = Checkpoint.open(files);
                        PipelineStage stage = PipelineStage.load(
                                model.config(), checkpoint, state, communicators, kernels, size, 12)) {
                    if (size == shorter) {
                        assertThatThrownBy(() -> stage.forward(0, new int[9], layout(9, 0), new int[] {8}))
                                .hasMessageContaining("a context of 9 tokens, more than the 8 positions");
                    }
                    return stage.activationBytes();
                }
            }));
            known.add(RankMemory.of(model.config(), WeightType.F32, alone, size, 12, 3)
                    .step());
        }
        assertThat(held.get(0) - held.get(1)).isEqualTo(saved);
        assertThat(known.get(0) - known.get(1)).isEqualTo(saved);
    }

    @Test
    void stagesKnowTheirLayersAndEnds() {
        SyntheticModel model = SyntheticModel.awkward();
        List<String> stages = run(
                model,
                model.write(folder),
                1,
                2,
                (stage, checkpoint) -> stage.layers() + " " + stage.isFirst() + " " + stage.isLast());
        assertThat(stages)
                .containsExactly(
                        List.of(new LayerRange(0, 1)) + " true false", List.of(new LayerRange(1, 2)) + " false true");
    }

    /** Four virtual stages on two ranks: the bits of the whole model. */
    @ParameterizedTest
    @CsvSource({"false", "true"})
    void chunksOfLayersGoRoundTheRing(boolean tied) {
        SyntheticModel two = SyntheticModel.awkward();
        SyntheticModel model = (tied ? two.tied() : two).withLayers(5);
        ModelFiles files = model.write(folder);
        int[] ids = {3, 1, 4};
        StageWork<float[]> work = (stage, checkpoint) -> GreedyDecoding.forward(stage, ids, layout(3, 0), new int[] {2})
                .map(logits -> logits.buffer().toHost().toFloats())
                .orElse(new float[0]);
        float[] whole = run(model, files, 1, 1, work).get(0);
        ParallelSizes sizes =
                ParallelSizes.tensor(2).withPipeline(2).withVirtualPipeline(2).withData(1);
        List<float[]> ring = run(model, files, sizes, work);
        assertThat(ring.get(0)).isEmpty();
        assertThat(ring.get(3)).isEqualTo(whole);
        assertThat(run(model, files, sizes, (stage, checkpoint) -> stage.layers()))
                .startsWith(List.of(new LayerRange(0, 1), new LayerRange(2, 4)))
                .endsWith(List.of(new LayerRange(1, 2), new LayerRange(4, 5)));
        assertRefused(
                () -> run(model, files, sizes.withVirtualPipeline(3), work),
                ErrorCode.MODEL_SHAPE,
                "pipeline (2) × virtual pipeline (3) is not in 1..5");
    }

    @ParameterizedTest
    @CsvSource({"1,1", "2,1", "1,2", "4,2"})
    void aTiedModelMayStoreEitherOfTheTwo(int tensor, int pipeline) {
        SyntheticModel both = SyntheticModel.awkward().tied();
        float[] expected = logits(both, tensor, pipeline);
        assertThat(logits(both.without("lm_head.weight"), tensor, pipeline)).isEqualTo(expected);
        assertThat(logits(both.without("model.embed_tokens.weight"), tensor, pipeline))
                .isNotEmpty();
    }

    private float[] logits(SyntheticModel model, int tensor, int pipeline) {
        List<float[]> byRank = run(
                model,
                model.write(folder),
                tensor,
                pipeline,
                (stage, checkpoint) -> GreedyDecoding.forward(stage, new int[] {3, 1, 4}, layout(3, 0), new int[] {2})
                        .map(logits -> logits.buffer().toHost().toFloats())
                        .orElse(new float[0]));
        return byRank.get(byRank.size() - 1);
    }

    /** One sequence with {@code before} tokens in the cache and {@code count} in this step. */
    private static BatchLayout layout(int count, int before) {
        return new BatchLayout(new int[] {0, count}, new int[] {before + count}, new int[][] {{5, 0, 3, 1}}, 4);
    }

    @ParameterizedTest
    @ValueSource(strings = {"1,1,1,1,1,1,1,1,1,1", "10", "4,6", "3,1,5,1"})
    void chunksOfAPromptGiveTheBitsOfTheWhole(String cuts) {
        int[] ids = {3, 1, 4, 1, 5, 9, 2, 6, 5, 35};
        SyntheticModel model = SyntheticModel.awkward();
        float[][] whole = runAlone(
                model,
                (stage, checkpoint) -> GreedyDecoding.rows(stage.forward(
                                0, ids, layout(10, 0), IntStream.range(0, 10).toArray())
                        .orElseThrow()));
        float[][] chunked = runAlone(model, (stage, checkpoint) -> {
            float[][] seen = new float[10][];
            int done = 0;
            for (String cut : cuts.split(",")) {
                int count = Integer.parseInt(cut);
                float[][] rows = GreedyDecoding.rows(stage.forward(
                                0,
                                Arrays.copyOfRange(ids, done, done + count),
                                layout(count, done),
                                IntStream.range(0, count).toArray())
                        .orElseThrow());
                System.arraycopy(rows, 0, seen, done, count);
                done += count;
            }
            return seen;
        });
        assertThat(chunked).isDeepEqualTo(whole);
    }

    @Test
    void aSequenceGivesTheSameBitsAloneAndInABatch() {
        SyntheticModel model = SyntheticModel.awkward();
        float[][] both = runAlone(
                model,
                (stage, checkpoint) -> GreedyDecoding.rows(stage.forward(
                                0,
                                new int[] {7, 8, 9, 3, 1},
                                new BatchLayout(new int[] {0, 3, 5}, new int[] {3, 2}, new int[][] {{2}, {4}}, 4),
                                new int[] {4, 2})
                        .orElseThrow()));
        float[][] alone = runAlone(
                model,
                (stage, checkpoint) ->
                        GreedyDecoding.rows(stage.forward(0, new int[] {3, 1}, layout(2, 0), new int[] {1})
                                .orElseThrow()));
        assertThat(both[0]).isEqualTo(alone[0]);
        assertThat(both[1]).isNotEqualTo(alone[0]);
    }

    @Test
    void aStepWithoutLogitRowsFillsTheCacheOnly() {
        Shape shape = runAlone(
                SyntheticModel.awkward(),
                (stage, checkpoint) -> stage.forward(0, new int[] {3}, layout(1, 0), new int[0])
                        .orElseThrow()
                        .shape());
        assertThat(shape).isEqualTo(Shape.of(0, 37));
    }

    @Test
    void aMissingTensorIsNamedWithItsShape() {
        SyntheticModel model = SyntheticModel.awkward().without("model.layers.1.mlp.down_proj.bias");
        assertRefused(
                () -> runAlone(model, (stage, checkpoint) -> stage),
                ErrorCode.CHECKPOINT_INVALID,
                "'model.layers.1.mlp.down_proj.bias' [24]");
        assertRefused(
                () -> runAlone(SyntheticModel.awkward().without("lm_head.weight"), (stage, checkpoint) -> stage),
                ErrorCode.CHECKPOINT_INVALID,
                "'lm_head.weight' [37, 24]");
        SyntheticModel neither =
                SyntheticModel.awkward().tied().without("lm_head.weight").without("model.embed_tokens.weight");
        assertRefused(
                () -> runAlone(neither, (stage, checkpoint) -> stage),
                ErrorCode.CHECKPOINT_INVALID,
                "'model.embed_tokens.weight' [37, 24]");
    }

    @Test
    void aTensorOfAnotherShapeIsNamedWithBoth() {
        SyntheticModel model =
                SyntheticModel.awkward().with("model.layers.0.self_attn.k_proj.weight", Shape.of(24, 12));
        assertRefused(
                () -> runAlone(model, (stage, checkpoint) -> stage),
                ErrorCode.CHECKPOINT_INVALID,
                "'model.layers.0.self_attn.k_proj.weight' f32 [24, 12]",
                "[12, 24]");
    }

    @ParameterizedTest
    @CsvSource({"3,1", "1,3"})
    void aSplitThatDoesNotFitIsRefused(int tensor, int pipeline) {
        SyntheticModel model = SyntheticModel.awkward();
        ModelFiles files = model.write(folder);
        assertRefused(
                () -> run(model, files, tensor, pipeline, (stage, checkpoint) -> stage), ErrorCode.MODEL_SHAPE, "3");
    }

    private static void assertRefused(ThrowingCallable load, ErrorCode code, String... parts) {
        assertThatThrownBy(load).isInstanceOfSatisfying(LockstepException.class, thrown -> {
            assertThat(thrown.code()).isEqualTo(code);
            assertThat(thrown.getMessage()).contains(parts);
        });
    }

    @Test
    void aStepThatDoesNotFitIsRefusedBeforeAnythingIsComputed() {
        runAlone(SyntheticModel.awkward(), (stage, checkpoint) -> {
            int[] none = {};
            assertIllegal(() -> stage.forward(0, new int[] {1, 2}, layout(1, 0), none), "2 ids");
            assertIllegal(() -> stage.forward(0, new int[] {37}, layout(1, 0), none), "token (37) is not in 0..36");
            assertIllegal(() -> stage.forward(0, new int[] {-1}, layout(1, 0), none), "token (-1)");
            assertIllegal(() -> stage.forward(0, new int[] {1}, layout(1, 0), new int[] {1}), "logit row (1)");
            assertIllegal(
                    () -> stage.forward(
                            0,
                            new int[] {1},
                            new BatchLayout(new int[] {0, 1}, new int[] {1}, new int[][] {{6}}, 4),
                            none),
                    "block (6) is not in 0..5");
            assertIllegal(
                    () -> stage.forward(
                            0,
                            new int[] {1},
                            new BatchLayout(new int[] {0, 1}, new int[] {25}, new int[][] {{0, 1, 2, 3, 4, 5, 0}}, 4),
                            none),
                    "25 tokens, more than the 24 positions");
            assertIllegal(
                    () -> stage.forward(
                            0,
                            new int[] {1},
                            new BatchLayout(new int[] {0, 1}, new int[] {1}, new int[][] {{0}}, 8),
                            none),
                    "blocks of 8");
            assertIllegal(() -> stage.forward(0, new int[13], layout(13, 0), none), "takes 12 tokens");
            return stage;
        });
    }

    private static void assertIllegal(ThrowingCallable step, String part) {
        assertThatThrownBy(step).isInstanceOf(IllegalArgumentException.class).hasMessageContaining(part);
    }

    @Test
    void closingTwiceIsClosingOnce() {
        runAlone(SyntheticModel.awkward(), (stage, checkpoint) -> {
            stage.close();
            return stage;
        });
    }
}
