package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.lockstep.checkpoint.Checkpoint;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.collective.Backend;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.cuda.CudaBackend;
import org.lockstep.cuda.CudaKernels;
import org.lockstep.cuda.CudaOptions;
import org.lockstep.cuda.HostCuda;
import org.lockstep.cuda.StandIn;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.simd.Arithmetic;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.StepLimits;
import org.lockstep.tensor.Tensor;
import org.lockstep.topology.ParallelSizes;

/**
 * What a device draws beside what the host does, row by row; more seeds with {@code -Dlockstep.twins.seeds=1000}. Tokens differ only
 * where a plain reimplementation says that rounding decides.
 */
@HostCuda
@Timeout(300)
class SamplerOnCudaTest {
    private static final CudaOptions OWN = CudaOptions.DEFAULT.withCublas(CudaOptions.NO_CUBLAS);
    private static final float INFINITY = Float.POSITIVE_INFINITY;
    private static final SamplingParams SAMPLED = SamplingParams.DEFAULT.withMaxTokens(1000);

    private final CudaKernels device = CudaKernels.create(StandIn.devices().get(0), OWN);

    @AfterEach
    void close() {
        device.close();
    }

    static LongStream seeds() {
        return LongStream.rangeClosed(1, Integer.getInteger("lockstep.twins.seeds", 12));
    }

    private static Sequence sequence(long id, SamplingParams params, int... prompt) {
        return new Sequence(id, prompt, prompt.length, params, 4096);
    }

    /** What all rows get of the device, which must be what each gets of the host; how many are at a border. */
    private int compare(float[] logits, int vocabulary, List<Sequence> sequences) {
        int rows = sequences.size();
        int[] tokens = new int[rows];
        Tensor tensor = device.upload(HostBuffer.of(DataType.F32, logits), rows, vocabulary);
        new Sampler(vocabulary, List.of(), device).sample(tensor, sequences, tokens);
        assertThat(tensor.buffer().toHost().toFloats()).as("logits").isEqualTo(logits);
        tensor.buffer().close();
        RowSampler host = new RowSampler(vocabulary, List.of(), Arithmetic.create());
        int borders = 0;
        for (int row = 0; row < rows; row++) {
            Sequence sequence = sequences.get(row);
            int expected = host.sample(logits, row * vocabulary, sequence);
            if (tokens[row] != expected) {
                float[] own = Arrays.copyOfRange(logits, row * vocabulary, (row + 1) * vocabulary);
                assertThat(expected != Sampler.NONE && PlainSampling.isAtABorder(own, sequence, tokens[row]))
                        .as("row %d of %d, %s: %d, not %d", row, vocabulary, sequence.params(), tokens[row], expected)
                        .isTrue();
                borders++;
            }
        }
        return borders;
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void drawsAsTheHostDoes(long seed) {
        Random random = new Random(seed);
        int borders = 0;
        int all = 0;
        for (int vocabulary : new int[] {1, 2, 31, 32, 33, 1000, 1024, 1025, 2049, 32_003}) {
            int rows = vocabulary > 10_000 ? 6 : 12;
            float[] logits = new float[rows * vocabulary];
            for (int row = 0; row < rows; row++) {
                fill(logits, row * vocabulary, vocabulary, random);
            }
            List<Sequence> sequences = IntStream.range(0, rows)
                    .mapToObj(row -> sequence(random.nextInt(1000), params(random, vocabulary), 0))
                    .toList();
            borders += compare(logits, vocabulary, sequences);
            all += rows;
        }
        assertThat(borders).as("of %d tokens, those that rounding decides", all).isLessThan(4);
    }

    /** Of one kind or another: alike, of few values, mostly left out, of all magnitudes, wrong. */
    private static void fill(float[] logits, int from, int count, Random random) {
        int kind = random.nextInt(12);
        for (int i = from; i < from + count; i++) {
            float normal = (float) random.nextGaussian();
            logits[i] = switch (kind) {
                case 0 -> 3;
                case 1 -> random.nextInt(3) - 1;
                case 2 -> random.nextInt(4) == 0 ? normal : -INFINITY;
                case 3 -> random.nextInt(3) == 0 ? -0f : random.nextInt(2) == 0 ? 0 : -1;
                case 4 -> normal * 1e38f;
                case 5 -> normal * 1e-38f;
                default -> normal * kind;
            };
        }
        if (kind == 6) {
            Arrays.fill(logits, from, from + count, -INFINITY);
        } else if (kind == 7) {
            logits[from + random.nextInt(count)] = random.nextBoolean() ? Float.NaN : INFINITY;
        }
    }

    private static SamplingParams params(Random random, int vocabulary) {
        double[] temperatures = {1, 0.7, 0.1 + 2 * random.nextDouble(), 1e-5, 1e-3, 100, 1e30, 1e300, 0};
        int[] most = {0, 0, 1, 2, 1 + random.nextInt(vocabulary), 50, vocabulary, vocabulary + 7};
        double[] shares = {1, 1, 0.9, random.nextDouble() + 1e-9, 1e-300, 1e-6, 1 - 1e-16, 0.999999};
        double[] least = {0, 0, 0.05, random.nextDouble(), 1, 1e-300};
        return SAMPLED.withTemperature(temperatures[random.nextInt(temperatures.length)])
                .withTopK(most[random.nextInt(most.length)])
                .withTopP(shares[random.nextInt(shares.length)])
                .withMinP(least[random.nextInt(least.length)])
                .withRepetitionPenalty(random.nextInt(8) == 0 ? 1.3 : 1)
                .withSeed(random.nextLong());
    }

    @Test
    void aLargeVocabularyIsDrawnFromInEveryWay() {
        int vocabulary = 128_256;
        Random random = new Random(3);
        float[] logits = new float[4 * vocabulary];
        for (int i = 0; i < logits.length; i++) {
            logits[i] = (float) (3 * random.nextGaussian());
        }
        List<Sequence> sequences = List.of(
                sequence(1, SAMPLED.withSeed(1L), 0),
                sequence(2, SAMPLED.withTopP(0.9).withSeed(2L), 0),
                sequence(3, SAMPLED.withTopK(50).withSeed(3L), 0),
                sequence(4, SAMPLED.withTopK(5000).withTopP(0.8).withMinP(1e-4).withSeed(4L), 0));
        assertThat(compare(logits, vocabulary, sequences)).isLessThan(2);
    }

    /** Greedy ones beside those that draw, and those whose logits change, which alone the host has. */
    @Test
    void rowsOfAllKindsGetWhatEachGetsAlone() {
        Random random = new Random(4);
        SamplingParams greedy = SamplingParams.greedy().withMaxTokens(9);
        List<SamplingParams> kinds = List.of(
                greedy,
                greedy.withMinTokens(1).withStopTokenIds(List.of(3)),
                greedy.withRepetitionPenalty(1.5),
                SAMPLED.withMinTokens(1).withStopTokenIds(List.of(1, 2)),
                SAMPLED.withPresencePenalty(1),
                SAMPLED.withFrequencyPenalty(1),
                SAMPLED.withSeed(5L));
        for (int round = 0; round < 40; round++) {
            float[] logits = new float[11 * 5];
            for (int i = 0; i < logits.length; i++) {
                logits[i] = random.nextInt(5) == 0 ? -INFINITY : (float) random.nextGaussian();
            }
            List<Sequence> rows = random.ints(5, 0, kinds.size())
                    .mapToObj(kind -> sequence(kind, kinds.get(kind), 1, 7))
                    .toList();
            assertThat(compare(logits, 11, rows)).isZero();
        }
    }

    /** Each copy down is waited for. */
    @ParameterizedTest
    @MethodSource("seeds")
    void greedyRowsComeDownWithThoseBesideThemThatAreDrawn(long seed) {
        StandIn driver = StandIn.require();
        Random random = new Random(seed);
        int rows = 6;
        for (int vocabulary : new int[] {1, 33, 1025}) {
            float[] logits = new float[rows * vocabulary];
            List<Sequence> sequences = new ArrayList<>();
            for (int row = 0; row < rows; row++) {
                fill(logits, row * vocabulary, vocabulary, random);
                SamplingParams greedy =
                        SAMPLED.withTemperature(0).withTopK(2).withTopP(0.5).withMinP(0.1);
                sequences.add(sequence(row, row % 2 == 0 ? greedy : SAMPLED.withSeed(seed), 0));
            }
            Tensor tensor = device.upload(HostBuffer.of(DataType.F32, logits), rows, vocabulary);
            int[] largest = new int[rows];
            device.argmax(tensor, largest);
            int[] tokens = new int[rows];
            StandIn.Copied before = driver.copied();
            long launched = driver.launches();
            new Sampler(vocabulary, List.of(), device).sample(tensor, sequences, tokens);
            StandIn.Copied copied = driver.copied().since(before);
            assertThat(copied.down()).isEqualTo(1);
            assertThat(copied.bytesDown()).isEqualTo((long) rows * Integer.BYTES);
            assertThat(driver.launches() - launched).isEqualTo(1);
            for (int row = 0; row < rows; row += 2) {
                assertThat(tokens[row]).isEqualTo(largest[row]);
            }
            tensor.buffer().close();
        }
    }

    /** Kernels of other ranks may wait for this one's: see the same of a model's steps. */
    @Test
    void noDrawTakesMemoryWhereItWasReserved() {
        StandIn driver = StandIn.require();
        int most = 70;
        device.reserve(new StepLimits(most, most, 64, 16, 1, 8));
        Sampler sampler = new Sampler(11, List.of(), device);
        Tensor tensor = device.zeros(DataType.F32, most, 11);
        long before = driver.waits();
        for (int rows = 1; rows <= most; rows += 3) {
            List<Sequence> sequences = IntStream.range(0, rows)
                    .mapToObj(row -> sequence(row, row % 5 == 4 ? SamplingParams.greedy() : SAMPLED, 0))
                    .toList();
            sampler.sample(tensor.rows(0, rows), sequences, new int[most]);
        }
        assertThat(driver.waits()).isEqualTo(before);
    }

    @Test
    void frequenciesFitTheProbabilities() {
        float[] row = {0, 1, 2, 3, -1};
        int draws = 4000;
        SamplingParams params = SAMPLED.withTemperature(1.5).withSeed(42L);
        float[] logits = new float[5 * draws];
        IntStream.range(0, draws).forEach(i -> System.arraycopy(row, 0, logits, 5 * i, 5));
        List<Sequence> sequences =
                IntStream.range(0, draws).mapToObj(i -> sequence(i, params, 0)).toList();
        int[] tokens = new int[draws];
        Tensor tensor = device.upload(HostBuffer.of(DataType.F32, logits), draws, 5);
        new Sampler(5, List.of(), device).sample(tensor, sequences, tokens);
        int[] seen = new int[5];
        Arrays.stream(tokens).forEach(token -> seen[token]++);
        assertThat(PlainSampling.chiSquare(row, 1.5, seen))
                .as("chi-square, 4 degrees of freedom, 99.9 %%")
                .isLessThan(18.47);
    }

    /** Logits of the two differ in their last bits, draws where such a bit decides: of these seeds none. All seeds are in one batch. */
    @Test
    void theBundledModelTellsTheStoriesOfTheHost() {
        List<SamplingParams> ways = List.of(
                SAMPLED.withTemperature(0.8).withTopP(0.95),
                SAMPLED.withTopK(20),
                SAMPLED.withMinP(0.05).withTemperature(1.3),
                SAMPLED.withRepetitionPenalty(1.2),
                SamplingParams.greedy());
        List<Request> requests = new ArrayList<>();
        for (long seed = 1; seed <= 3; seed++) {
            for (int way = 0; way < ways.size(); way++) {
                int[] prompt = Fable.golden().get(way).promptIds();
                SamplingParams params = ways.get(way).withMaxTokens(10).withSeed(seed);
                requests.add(new Request(requests.size(), prompt, params));
            }
        }
        List<Completion> host = complete(CpuBackend::create, requests);
        List<Completion> drawn =
                complete(() -> CudaBackend.create(StandIn.devices().get(0), CpuBackend.create(), OWN), requests);
        assertThat(drawn).isEqualTo(host);
    }

    private static List<Completion> complete(Supplier<Backend> backends, List<Request> requests) {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(1).withPipeline(1).withData(1));
        return LocalWorld.of(1)
                .withDeadline(Duration.ofMinutes(3))
                .run(rendezvous -> {
                    try (Backend backend = backends.get();
                            World world = World.join(rendezvous, backend, spec);
                            ModelFiles files = Fable.files();
                            Checkpoint checkpoint = Checkpoint.open(files);
                            Tokenizer tokenizer = Fable.tokenizer();
                            Generator generator = Generator.load(
                                    Fable.config(),
                                    checkpoint,
                                    world.state(),
                                    world.communicators(),
                                    backend.kernels(),
                                    tokenizer,
                                    GeneratorOptions.of(512))) {
                        return generator.run(requests);
                    }
                })
                .get(0);
    }
}
