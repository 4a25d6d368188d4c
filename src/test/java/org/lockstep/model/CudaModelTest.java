package org.lockstep.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.Checkpoint;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.collective.Communicators;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.cuda.CudaBackend;
import org.lockstep.cuda.CudaOptions;
import org.lockstep.cuda.HostCuda;
import org.lockstep.cuda.NcclOptions;
import org.lockstep.cuda.PeerOptions;
import org.lockstep.cuda.StandIn;
import org.lockstep.cuda.Use;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.Tensor;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.ParallelState;

/** Whole models on GPUs answer as the oracle does, however they are split over ranks that share one. */
@Timeout(300)
@HostCuda
class CudaModelTest {
    private static final int STEPS = 6; // the stand-in is slow

    private static final CudaOptions OWN = CudaOptions.DEFAULT.withCublas(CudaOptions.NO_CUBLAS);

    private static final List<String> WIDE = List.of(
            "llama-gqa-tied", "llama-gqa-untied", "llama-mha-bias-oddvocab", "llama-rope-linear", "llama3-rope-scaled");

    /** Of 16-bit weights, by the rounding of activations for cuBLAS: parts of the largest logit. */
    private static final Map<String, Double> NARROW = Map.of("llama-bf16-sharded", 0.03, "llama-f16", 0.004);

    private static List<Map<String, GreedyDecoding.Seen>> run(
            Map<String, Golden> models, CudaOptions options, int tensor, int pipeline) {
        return run(models, options, tensor, pipeline, DataType.F32);
    }

    private static List<Map<String, GreedyDecoding.Seen>> run(
            Map<String, Golden> models, CudaOptions options, int tensor, int pipeline, DataType cache) {
        CudaOptions shared = options.withRanksPerDevice(tensor * pipeline);
        return ModelWorld.run(
                ParallelSizes.tensor(tensor).withPipeline(pipeline).withData(1),
                () -> CudaBackend.create(StandIn.devices().get(0), CpuBackend.create(), shared),
                (state, communicators, kernels) -> decoded(models, state, communicators, kernels, cache));
    }

    private static Map<String, GreedyDecoding.Seen> decoded(
            Map<String, Golden> models,
            ParallelState state,
            Communicators communicators,
            Kernels kernels,
            DataType cache) {
        Map<String, GreedyDecoding.Seen> seen = new TreeMap<>();
        models.forEach((name, golden) -> seen.put(
                name,
                GreedyDecoding.run(golden.model(), state, communicators, kernels, golden.prompts(), STEPS, cache)));
        return seen;
    }

    private static Map<String, Golden> oracle(Iterable<String> names) {
        Map<String, Golden> models = new TreeMap<>();
        names.forEach(name -> models.put(name, Golden.synthetic(name)));
        return models;
    }

    @ParameterizedTest
    @CsvSource({"1,1", "2,1", "1,2", "2,2"})
    void everySplitGivesTheGoldenLogitsAndTokensOfF32(int tensor, int pipeline) {
        check(oracle(WIDE), CudaOptions.DEFAULT, tensor, pipeline, 1e-4);
    }

    /** Our own kernels multiply activations as they are, whatever the weights' type. */
    @ParameterizedTest
    @CsvSource({"1,1", "2,2"})
    void productsOfOurOwnGiveThemForEveryType(int tensor, int pipeline) {
        check(oracle(NARROW.keySet()), OWN, tensor, pipeline, 1e-4);
    }

    private static void check(
            Map<String, Golden> models, CudaOptions options, int tensor, int pipeline, double tolerance) {
        check(models, run(models, options, tensor, pipeline), tolerance);
    }

    private static void check(
            Map<String, Golden> models, List<Map<String, GreedyDecoding.Seen>> split, double tolerance) {
        models.forEach((name, golden) -> {
            for (Map<String, GreedyDecoding.Seen> rank : split) {
                assertThat(rank.get(name).tokens()).as(name).isDeepEqualTo(first(golden.greedy()));
            }
            assertClose(name, golden, split.get(split.size() - 1).get(name).logits(), tolerance);
        });
    }

    @ParameterizedTest
    @CsvSource({"1,1,F32", "2,1,F32", "1,2,F32", "2,2,F32", "1,1,BF16", "2,2,BF16", "2,1,F16"})
    void sixteenBitsAreNearAndAgreeWhereTheGapAllows(int tensor, int pipeline, DataType cache) {
        Map<String, Golden> models = oracle(cache == DataType.BF16 ? List.of("llama-bf16-sharded") : NARROW.keySet());
        List<Map<String, GreedyDecoding.Seen>> split = run(models, CudaOptions.DEFAULT, tensor, pipeline, cache);
        models.forEach((name, golden) -> {
            GreedyDecoding.Seen last = split.get(split.size() - 1).get(name);
            double tolerance = NARROW.get(name);
            assertClose(name, golden, last.logits(), tolerance);
            for (int p = 0; p < golden.prompts().length; p++) {
                float[] wanted = golden.floats("prompt" + p + ".logits");
                if (gap(wanted) > 2 * tolerance * largest(wanted)) {
                    assertThat(last.tokens()[p][0]).as("%s, prompt %d", name, p).isEqualTo(golden.greedy()[p][0]);
                }
            }
        });
    }

    private static void assertClose(String name, Golden golden, float[][] logits, double tolerance) {
        for (int p = 0; p < golden.prompts().length; p++) {
            float[] wanted = golden.floats("prompt" + p + ".logits");
            double worst = 0;
            for (int i = 0; i < wanted.length; i++) {
                worst = Math.max(worst, Math.abs(logits[p][i] - wanted[i]));
            }
            assertThat(worst).as("%s, prompt %d", name, p).isLessThanOrEqualTo(tolerance * largest(wanted));
        }
    }

    private static int[][] first(int[][] tokens) {
        return Arrays.stream(tokens).map(each -> Arrays.copyOf(each, STEPS)).toArray(int[][]::new);
    }

    private static double largest(float[] values) {
        double largest = 0;
        for (float value : values) {
            largest = Math.max(largest, Math.abs(value));
        }
        return largest;
    }

    /** Between the largest and the next. */
    private static double gap(float[] values) {
        float[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length - 1] - sorted[sorted.length - 2];
    }

    @ParameterizedTest
    @CsvSource({"1,1", "2,1", "1,2", "2,2"})
    void theBundledModelTellsItsGoldenStories(int tensor, int pipeline) {
        List<JsonNode> stories = StreamSupport.stream(
                        Golden.json("/org/lockstep/models/fable/golden.json")
                                .get("cases")
                                .spliterator(),
                        false)
                .limit(2)
                .toList();
        int[][] prompts = stories.stream()
                .map(story -> Golden.ints(story.get("prompt_ids")))
                .toArray(int[][]::new);
        int[][] expected = stories.stream()
                .map(story -> Golden.ints(story.get("greedy_ids")))
                .toArray(int[][]::new);
        ModelFiles files = ModelFiles.resource("/org/lockstep/models/fable");
        CudaOptions options = OWN.withRanksPerDevice(tensor * pipeline);
        ModelWorld.run(
                        ParallelSizes.tensor(tensor).withPipeline(pipeline).withData(1),
                        () -> CudaBackend.create(StandIn.devices().get(0), CpuBackend.create(), options),
                        (state, communicators, kernels) ->
                                GreedyDecoding.run(files, state, communicators, kernels, prompts, STEPS))
                .forEach(seen -> assertThat(seen.tokens()).isDeepEqualTo(first(expected)));
    }

    @ParameterizedTest
    @CsvSource({"1,1", "1,2"})
    void aReplayedStepGivesTheBitsOfOneThatIsLaunchedKernelByKernel(int tensor, int pipeline) {
        Map<String, Golden> models = oracle(List.of("llama-mha-bias-oddvocab"));
        long before = graphLaunches();
        List<Map<String, GreedyDecoding.Seen>> eager = run(models, OWN.withEnforceEager(true), tensor, pipeline);
        assertThat(graphLaunches()).as("graphs of eager steps").isEqualTo(before);
        List<Map<String, GreedyDecoding.Seen>> replayed = run(models, OWN, tensor, pipeline);
        assertReplays(before, replayed.size());
        for (int rank = 0; rank < eager.size(); rank++) {
            GreedyDecoding.Seen one = replayed.get(rank).get("llama-mha-bias-oddvocab");
            GreedyDecoding.Seen other = eager.get(rank).get("llama-mha-bias-oddvocab");
            assertThat(one.tokens()).isDeepEqualTo(other.tokens());
            assertThat(one.logits()).isDeepEqualTo(other.logits());
        }
    }

    /** Kernels of other ranks may wait for this one's: a driver that waits for them before it gives memory would wait for ever. */
    @ParameterizedTest
    @CsvSource({"llama-bf16-sharded,BF16", "llama-gqa-tied,F32"})
    void noStepTakesMemoryOrLoadsCode(String name, DataType type) {
        StandIn driver = StandIn.require();
        ModelFiles files = Golden.synthetic(name).model();
        int sequences = 6;
        CacheSize cache = new CacheSize(sequences * 8, 8, type);
        ModelWorld.run(
                ParallelSizes.tensor(1).withPipeline(1).withData(1),
                () -> CudaBackend.create(StandIn.devices().get(0), CpuBackend.create(), CudaOptions.DEFAULT),
                (state, communicators, kernels) -> {
                    ModelConfig config = ModelConfig.read(files);
                    try (Checkpoint checkpoint = Checkpoint.open(files);
                            PipelineStage stage =
                                    PipelineStage.load(config, checkpoint, state, communicators, kernels, cache, 40)) {
                        stage.reserve(sequences);
                        long before = driver.waits();
                        for (int step = 0; step < 100; step++) {
                            int together = 1 + step % sequences;
                            int brought = step % 3 == 0 ? 1 + 38 * step / 100 / together : 1;
                            stepOf(stage, kernels, together, brought, Math.max(brought, 1 + step / 2));
                        }
                        assertThat(driver.waits()).isEqualTo(before);
                    }
                    return true;
                });
    }

    /** Between the host and the devices go a step's tables, up, and its tokens, down; where groups are staged, all that they exchange. */
    @ParameterizedTest
    @EnumSource(
            value = Use.class,
            names = {"ON", "OFF"})
    void stepsOfGroupsByNcclCopyTablesUpAndTokensDownAndNothingElse(Use nccl) {
        StandIn driver = StandIn.require();
        ModelFiles files = Golden.synthetic("llama-gqa-tied").model();
        CudaOptions options = OWN.withNccl(NcclOptions.DEFAULT.withUse(nccl)).withPeer(PeerOptions.NONE);
        int ranks = 4;
        int sequences = 3;
        int steps = 8;
        CyclicBarrier all = new CyclicBarrier(ranks);
        List<StandIn.Copied> copied = inGroups(options, 2, 2, (state, communicators, kernels) -> {
            CacheSize cache = new CacheSize(sequences * 8, 8, DataType.F32);
            try (Checkpoint checkpoint = Checkpoint.open(files);
                    PipelineStage stage = PipelineStage.load(
                            ModelConfig.read(files), checkpoint, state, communicators, kernels, cache, 40)) {
                stage.reserve(sequences);
                for (int warm = 1; warm <= 4; warm++) { // then what is kept on the devices is there, and graphs
                    decode(stage, kernels, sequences, warm);
                }
                all.await(2, TimeUnit.MINUTES);
                StandIn.Copied before = driver.copied();
                all.await(2, TimeUnit.MINUTES);
                for (int step = 1; step <= steps; step++) {
                    decode(stage, kernels, sequences, 4 + step);
                }
                all.await(2, TimeUnit.MINUTES);
                StandIn.Copied after = driver.copied().since(before);
                all.await(2, TimeUnit.MINUTES);
                return after;
            }
        });
        StandIn.Copied of = copied.get(0);
        if (nccl == Use.OFF) {
            assertThat(of.down()).as("%s", of).isGreaterThan((long) ranks * steps);
            return;
        }
        assertThat(of.up()).as("tables of %s", of).isEqualTo(ranks * steps);
        assertThat(of.down()).as("tokens of %s", of).isEqualTo(2 * steps); // of the last stage, on both its ranks
        assertThat(of.bytesDown()).as("tokens of %s", of).isEqualTo(2L * steps * sequences * Integer.BYTES);
    }

    private static void decode(PipelineStage stage, Kernels kernels, int sequences, int context) {
        int[] starts = IntStream.rangeClosed(0, sequences).toArray();
        int[] contexts = IntStream.range(0, sequences).map(s -> context).toArray();
        int[][] blocks = IntStream.range(0, sequences)
                .mapToObj(s -> IntStream.range(8 * s, 8 * s + (context + 7) / 8).toArray())
                .toArray(int[][]::new);
        int[] each = IntStream.range(0, sequences).toArray();
        GreedyDecoding.forward(stage, each, new BatchLayout(starts, contexts, blocks, 8), each)
                .ifPresent(logits -> kernels.argmax(logits, new int[sequences]));
        kernels.synchronize();
    }

    private static void stepOf(PipelineStage stage, Kernels kernels, int sequences, int brought, int context) {
        int[] starts = IntStream.rangeClosed(0, sequences).map(s -> s * brought).toArray();
        int[] contexts = IntStream.range(0, sequences).map(s -> context).toArray();
        int[][] blocks = IntStream.range(0, sequences)
                .mapToObj(s -> IntStream.range(8 * s, 8 * s + (context + 7) / 8).toArray())
                .toArray(int[][]::new);
        int[] ids = IntStream.range(0, sequences * brought).toArray();
        int[] rows =
                IntStream.rangeClosed(1, sequences).map(s -> s * brought - 1).toArray();
        Tensor logits = stage.forward(0, ids, new BatchLayout(starts, contexts, blocks, 8), rows)
                .orElseThrow();
        kernels.argmax(logits, new int[sequences]);
    }

    private static long graphLaunches() {
        return StandIn.isLoaded() ? StandIn.require().graphLaunches() : 0;
    }

    /** Each rank at least once: where two hidden states take turns, every other step is like one before. */
    private static void assertReplays(long before, int ranks) {
        if (StandIn.isLoaded()) {
            assertThat(graphLaunches() - before).as("graphs").isGreaterThanOrEqualTo(ranks);
        }
    }

    private static List<Map<String, GreedyDecoding.Seen>> runByNccl(
            Map<String, Golden> models, CudaOptions options, int tensor, int pipeline) {
        return inGroups(
                options.withNccl(NcclOptions.DEFAULT.withUse(Use.ON)),
                tensor,
                pipeline,
                (state, communicators, kernels) -> decoded(models, state, communicators, kernels, DataType.F32));
    }

    /** Each rank on a device of its own. */
    private static <T> List<T> inGroups(CudaOptions options, int tensor, int pipeline, ModelWorld.Work<T> work) {
        StandIn driver = StandIn.require();
        AtomicInteger ordinal = new AtomicInteger();
        driver.setDevices(tensor * pipeline);
        try {
            return ModelWorld.run(
                    ParallelSizes.tensor(tensor).withPipeline(pipeline).withData(1),
                    () -> CudaBackend.create(
                            StandIn.devices().get(ordinal.getAndIncrement()), CpuBackend.create(), options),
                    work);
        } finally {
            driver.setDevices(1);
        }
    }

    @ParameterizedTest
    @CsvSource({"2,1,OFF", "1,2,OFF", "2,2,OFF", "2,1,AUTO", "2,2,AUTO"})
    void theyAnswerSoByNcclTooAndWithSmallAllReducesByKernels(int tensor, int pipeline, Use kernels) {
        Map<String, Golden> models = oracle(List.of("llama-gqa-tied", "llama-mha-bias-oddvocab"));
        CudaOptions options = OWN.withPeer(PeerOptions.DEFAULT.withUse(kernels));
        check(models, runByNccl(models, options, tensor, pipeline), 1e-4);
        assertThat(StandIn.require().allocations()).isZero();
    }

    @ParameterizedTest
    @EnumSource(
            value = Use.class,
            names = {"OFF", "AUTO"})
    void aReplayedStepOfATensorGroupHasItsExchangesInIt(Use kernels) {
        Map<String, Golden> models = oracle(List.of("llama-mha-bias-oddvocab"));
        CudaOptions options = OWN.withPeer(PeerOptions.DEFAULT.withUse(kernels));
        List<Map<String, GreedyDecoding.Seen>> eager = runByNccl(models, options.withEnforceEager(true), 2, 1);
        long before = graphLaunches();
        List<Map<String, GreedyDecoding.Seen>> replayed = runByNccl(models, options, 2, 1);
        assertReplays(before, replayed.size());
        for (int rank = 0; rank < eager.size(); rank++) {
            GreedyDecoding.Seen one = replayed.get(rank).get("llama-mha-bias-oddvocab");
            GreedyDecoding.Seen other = eager.get(rank).get("llama-mha-bias-oddvocab");
            assertThat(one.tokens()).isDeepEqualTo(other.tokens());
            assertThat(one.logits()).isDeepEqualTo(other.logits());
        }
    }

    @Test
    void tooLittleMemoryIsSaidWithNeedAndHaveAndNothingIsLeft() {
        StandIn driver = StandIn.require();
        Map<String, Golden> models = oracle(List.of("llama-gqa-tied"));
        assertThatThrownBy(() -> run(models, OWN.withMemoryUtilization(0.0001), 1, 1))
                .isInstanceOfSatisfying(LockstepException.class, e -> {
                    assertThat(e.code()).isEqualTo(ErrorCode.OUT_OF_MEMORY);
                    assertThat(e.summary()).contains("a rank needs").contains("that it may");
                });
        assertThat(driver.allocations()).isZero();
        run(models, OWN, 1, 1);
        assertThat(driver.allocations()).isZero();
    }

    /** cuBLAS, as NCCL, has the context from then on: no rank of this process gets another, whatever it gives back. */
    @Test
    void aFaultOfTheDeviceEndsAllRanksAndOnlyAnotherProcessBeginsAnew() {
        StandIn driver = StandIn.require();
        Map<String, Golden> models = oracle(List.of("llama-gqa-tied"));
        run(models, CudaOptions.DEFAULT, 1, 1);
        driver.failLaunchAfter(200, 700);
        try {
            assertThatThrownBy(() -> run(models, OWN, 2, 1)).isInstanceOfSatisfying(LockstepException.class, e -> {
                assertThat(e.code()).isIn(ErrorCode.DEVICE_LOST, ErrorCode.ABORTED);
                assertThat(e.getMessage()).contains("CUDA_ERROR_ILLEGAL_ADDRESS (700)");
            });
            assertThatThrownBy(() -> run(models, OWN, 1, 1)).isInstanceOfSatisfying(LockstepException.class, e -> {
                assertThat(e.code()).isEqualTo(ErrorCode.DEVICE_LOST);
                assertThat(e.advice()).contains("this process cannot use the device any more", "dmesg");
            });
        } finally {
            driver.failLaunchAfter(-1, 0);
            assertThat(driver.renew()).as("all holds were let go").isTrue();
        }
        assertThat(driver.allocations()).isZero();
        assertThat(run(models, OWN, 2, 1)).hasSize(2);
    }
}
