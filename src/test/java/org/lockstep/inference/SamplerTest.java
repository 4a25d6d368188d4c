package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.lockstep.cpu.Cores;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.simd.Arithmetic;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.Tensor;

class SamplerTest {
    private static final SamplingParams SAMPLED = SamplingParams.DEFAULT.withMaxTokens(1000);

    private static Sequence sequence(long id, SamplingParams params, int... prompt) {
        return new Sequence(id, prompt, prompt.length, params, 4096);
    }

    private static RowSampler rowSampler(int vocabulary, List<Integer> endTokens) {
        return new RowSampler(vocabulary, endTokens, Arithmetic.create());
    }

    private static int sample(SamplingParams params, float... logits) {
        return rowSampler(logits.length, List.of()).sample(logits, 0, sequence(0, params, 0));
    }

    @Test
    void greedyTakesTheLargestAndTheLowestIdOnTies() {
        SamplingParams greedy = SamplingParams.greedy();
        assertThat(sample(greedy, 1, 3, 2)).isEqualTo(1);
        assertThat(sample(greedy, 1, 3, 3, 3)).isEqualTo(1);
        assertThat(sample(greedy, 0, -0f, 0)).isZero();
        assertThat(sample(greedy, Float.NEGATIVE_INFINITY, -3e38f)).isEqualTo(1);
        assertThat(sample(SamplingParams.DEFAULT.withTemperature(1e-6), 1, 3, 2))
                .isEqualTo(1);
    }

    /** Greedy rows go to the device, the others do not; both say what is wrong with a logit. */
    @Test
    void rowsOfAllKindsGetWhatEachGetsAlone() {
        Random random = new Random(4);
        SamplingParams greedy = SamplingParams.greedy().withMaxTokens(9);
        List<SamplingParams> kinds = List.of(
                greedy,
                greedy.withMinTokens(1).withStopTokenIds(List.of(3)),
                greedy.withRepetitionPenalty(1.5),
                greedy.withPresencePenalty(1),
                greedy.withFrequencyPenalty(1),
                SAMPLED.withSeed(5L));
        RowSampler sampler = rowSampler(11, List.of(2));
        try (CpuBackend backend = CpuBackend.create()) {
            Sampler all = new Sampler(11, List.of(2), backend.kernels());
            for (int round = 0; round < 200; round++) {
                float[] logits = new float[11 * 4];
                for (int i = 0; i < logits.length; i++) {
                    logits[i] = random.nextInt(5) == 0 ? Float.NEGATIVE_INFINITY : random.nextInt(6);
                }
                List<Sequence> rows = random.ints(4, 0, round < 50 ? 1 : kinds.size())
                        .mapToObj(kind -> sequence(kind, kinds.get(kind), 1, 7))
                        .toList();
                Tensor tensor = Tensor.of(Buffer.ofFloats(logits), 4, 11);
                int[] tokens = new int[4];
                all.sample(tensor, rows, tokens);
                for (int row = 0; row < 4; row++) {
                    assertThat(tokens[row]).isEqualTo(sampler.sample(logits, 11 * row, rows.get(row)));
                }
            }
            for (float wrong : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
                for (SamplingParams kind : List.of(greedy, SAMPLED)) {
                    Tensor row = Tensor.of(Buffer.ofFloats(1, 2, wrong, 4, 5, 6, 7, 8, 9, 1, 1), 1, 11);
                    int[] token = new int[1];
                    all.sample(row, List.of(sequence(8, kind, 1)), token);
                    assertThat(token).containsExactly(Sampler.NONE);
                }
            }
            float[] none = new float[11];
            Arrays.fill(none, Float.NEGATIVE_INFINITY);
            Tensor row = Tensor.of(Buffer.ofFloats(none), 1, 11);
            int[] token = new int[1];
            all.sample(row, List.of(sequence(8, greedy, 1)), token);
            assertThat(token).containsExactly(Sampler.NONE);
        }
    }

    @Test
    void readsOnlyItsOwnRow() {
        float[] rows = {9, 9, 9, 1, 2, 0, 9, 9, 9};
        assertThat(rowSampler(3, List.of()).sample(rows, 3, sequence(0, SamplingParams.greedy(), 0)))
                .isEqualTo(1);
        assertThat(rows).containsExactly(9, 9, 9, 1, 2, 0, 9, 9, 9);
    }

    @Test
    void logitsThatAreNoNumbersGiveNoToken() {
        for (SamplingParams params : List.of(SamplingParams.greedy(), SAMPLED.withTopP(0.5))) {
            assertThat(sample(params, 1, Float.NaN, 2)).isEqualTo(Sampler.NONE);
            assertThat(sample(params, 1, 2, Float.POSITIVE_INFINITY)).isEqualTo(Sampler.NONE);
            float none = Float.NEGATIVE_INFINITY;
            assertThat(sample(params, none, none)).isEqualTo(Sampler.NONE);
        }
    }

    /** Of a sound model's logits. */
    @Test
    void aRowsOwnParametersMayLeaveNoToken() {
        for (SamplingParams params :
                List.of(SamplingParams.greedy(), SAMPLED, SAMPLED.withTopP(0.5).withTopK(2))) {
            SamplingParams held = params.withMinTokens(2).withStopTokenIds(List.of(0, 1, 2));
            assertThat(sample(held, 1, 2, 3)).isEqualTo(Sampler.NONE);
            assertThat(sample(held.withStopTokenIds(List.of(0, 2)), 1, 2, 3)).isEqualTo(1);
            RowSampler sampler = rowSampler(3, List.of());
            SamplingParams vast = params.withRepetitionPenalty(Double.MIN_VALUE); // 0 as a float
            assertThat(sampler.sample(new float[] {1, 2, 3}, 0, sequence(0, vast, 1)))
                    .isEqualTo(Sampler.NONE);
            SamplingParams vaster = params.withRepetitionPenalty(Double.MAX_VALUE); // infinite as a float
            assertThat(sampler.sample(new float[] {0, -2, -3}, 0, sequence(0, vaster, 0)))
                    .isEqualTo(Sampler.NONE);
            assertThat(sampler.sample(new float[] {-2, 0, -3}, 0, sequence(0, vaster, 1)))
                    .isEqualTo(Sampler.NONE);
            assertThat(sampler.sample(new float[] {-1, 0, -3}, 0, sequence(0, vaster, 0, 2)))
                    .isEqualTo(1);
        }
    }

    @Test
    void minusInfinityIsNeverChosen() {
        RowSampler sampler = rowSampler(3, List.of());
        float[] logits = {Float.NEGATIVE_INFINITY, 0, Float.NEGATIVE_INFINITY};
        for (long id = 0; id < 100; id++) {
            assertThat(sampler.sample(logits, 0, sequence(id, SAMPLED.withTemperature(100), 0)))
                    .isEqualTo(1);
        }
    }

    @Test
    void extremeTemperaturesNeitherOverflowNorFail() {
        assertThat(sample(SAMPLED.withTemperature(1e-4), 3e38f, -3e38f, 0)).isZero();
        assertThat(sample(SAMPLED.withTemperature(1e300), 3e38f, -3e38f, 0)).isBetween(0, 2);
    }

    @Test
    void repetitionPenaltyDividesPositiveAndMultipliesNegativeLogitsOfTheWholeHistoryOnce() {
        SamplingParams params = SamplingParams.greedy().withRepetitionPenalty(2);
        RowSampler sampler = rowSampler(4, List.of());
        Sequence sequence = sequence(0, params, 0, 0, 0);
        // 4 / 2 = 2 < 3, although token 0 occurs three times
        assertThat(sampler.sample(new float[] {4, 1.9f, 0, 0}, 0, sequence)).isZero();
        assertThat(sampler.sample(new float[] {4, 3, 0, 0}, 0, sequence)).isEqualTo(1);
        sequence.append(1);
        assertThat(sampler.sample(new float[] {4, 3, 1, 0}, 0, sequence)).isZero();
        // -1 × 2 = -2 < -1.5
        assertThat(sampler.sample(new float[] {-1, -9, -1.5f, -9}, 0, sequence)).isEqualTo(2);
    }

    @Test
    void presenceAndFrequencyPenaltiesCountTheOutputOnly() {
        RowSampler sampler = rowSampler(3, List.of());
        Sequence presence = sequence(0, SamplingParams.greedy().withPresencePenalty(1), 0);
        assertThat(sampler.sample(new float[] {1, 0.5f, 0}, 0, presence)).isZero();
        presence.append(0);
        presence.append(0);
        assertThat(sampler.sample(new float[] {1.6f, 0.5f, 0}, 0, presence)).isZero();
        assertThat(sampler.sample(new float[] {1.4f, 0.5f, 0}, 0, presence)).isEqualTo(1);
        Sequence frequency = sequence(0, SamplingParams.greedy().withFrequencyPenalty(1), 0);
        frequency.append(0);
        frequency.append(0);
        assertThat(sampler.sample(new float[] {2.6f, 0.5f, 0}, 0, frequency)).isZero();
        assertThat(sampler.sample(new float[] {2.4f, 0.5f, 0}, 0, frequency)).isEqualTo(1);
    }

    @Test
    void endTokensWaitForTheLeastNumberOfTokens() {
        SamplingParams params = SamplingParams.greedy().withMinTokens(1).withStopTokenIds(List.of(2));
        RowSampler sampler = rowSampler(4, List.of(0));
        Sequence sequence = sequence(0, params, 3);
        assertThat(sampler.sample(new float[] {4, 1, 3, 2}, 0, sequence)).isEqualTo(3);
        sequence.append(3);
        assertThat(sampler.sample(new float[] {4, 1, 3, 2}, 0, sequence)).isZero();
        Sequence ignoring = sequence(0, params.withIgnoreEos(true), 3);
        assertThat(sampler.sample(new float[] {4, 1, 3, 2}, 0, ignoring)).isZero();
    }

    @Test
    void choosesAsAPlainReimplementationDoes() {
        Random random = new Random(7);
        int vocabulary = 97;
        RowSampler sampler = rowSampler(vocabulary, List.of());
        int borders = 0;
        for (int round = 0; round < 4000; round++) {
            float[] logits = new float[vocabulary];
            for (int i = 0; i < vocabulary; i++) {
                // few distinct values: ties everywhere
                logits[i] = random.nextInt(4) == 0 ? random.nextInt(3) : (float) random.nextGaussian() * 4;
            }
            SamplingParams params = SAMPLED.withTemperature(0.1 + random.nextDouble() * 2)
                    .withTopK(random.nextBoolean() ? random.nextInt(vocabulary + 10) : 0)
                    .withTopP(random.nextBoolean() ? 1 - random.nextDouble() : 1)
                    .withMinP(random.nextBoolean() ? random.nextDouble() * 0.3 : 0)
                    .withRepetitionPenalty(random.nextBoolean() ? 1 + random.nextDouble() : 1)
                    .withSeed(random.nextLong());
            Sequence sequence = sequence(random.nextInt(1000), params, random.nextInt(vocabulary));
            for (int i = random.nextInt(20); i > 0; i--) {
                sequence.append(random.nextInt(vocabulary));
            }
            int chosen = sampler.sample(logits, 0, sequence);
            int plain = PlainSampling.choose(logits, sequence);
            borders += chosen == plain ? 0 : 1;
            assertThat(chosen == plain || PlainSampling.isAtABorder(logits, sequence, chosen))
                    .as("round %d %s: %d, not %d", round, params, chosen, plain)
                    .isTrue();
        }
        assertThat(borders).as("choices that rounding decides").isLessThan(20);
    }

    /** Vectors or none, one thread or several: the same tokens. */
    @Test
    void aSeedDrawsTheSameTokensOnEveryMachine() {
        int vocabulary = 5003;
        int rows = 7;
        Random random = new Random(11);
        float[] logits = new float[rows * vocabulary];
        for (int i = 0; i < logits.length; i++) {
            logits[i] = (float) random.nextGaussian() * 3;
        }
        Tensor tensor = Tensor.of(Buffer.ofFloats(logits), rows, vocabulary);
        List<SamplingParams> ways = List.of(
                SAMPLED,
                SAMPLED.withTopP(0.8),
                SAMPLED.withTopK(500),
                SAMPLED.withTopK(50).withTopP(0.9).withMinP(0.001),
                SAMPLED.withTemperature(2.5).withMinP(0.01));
        RowSampler plain = new RowSampler(vocabulary, List.of(2), Arithmetic.plain(8));
        RowSampler vectors = new RowSampler(
                vocabulary, List.of(2), Arithmetic.isVectorEnabled() ? Arithmetic.vectors() : Arithmetic.create());
        try (CpuBackend backend = CpuBackend.create(Cores.exactly(3))) {
            Sampler all = new Sampler(vocabulary, List.of(2), backend.kernels());
            for (int round = 0; round < 20; round++) {
                for (SamplingParams way : ways) {
                    long first = random.nextInt(1000);
                    List<Sequence> sequences = LongStream.range(first, first + rows)
                            .mapToObj(id -> sequence(id, way, 1))
                            .toList();
                    int[] tokens = new int[rows];
                    all.sample(tensor, sequences, tokens);
                    for (int row = 0; row < rows; row++) {
                        assertThat(tokens[row])
                                .isEqualTo(plain.sample(logits, row * vocabulary, sequences.get(row)))
                                .isEqualTo(vectors.sample(logits, row * vocabulary, sequences.get(row)));
                    }
                }
            }
        }
    }

    @Test
    void frequenciesFitTheProbabilities() {
        float[] logits = {0, 1, 2, 3, -1};
        int draws = 50_000;
        int[] seen = new int[5];
        RowSampler sampler = rowSampler(5, List.of());
        SamplingParams params = SAMPLED.withTemperature(1.5).withSeed(42L);
        for (int i = 0; i < draws; i++) {
            seen[sampler.sample(logits, 0, sequence(i, params, 0))]++;
        }
        assertThat(PlainSampling.chiSquare(logits, 1.5, seen))
                .as("chi-square, 4 degrees of freedom, 99.9 %%")
                .isLessThan(18.47);
    }

    @Test
    void randomNumbersDependOnSeedRequestAndPositionAndAreEvenlySpread() {
        int[] bins = new int[64];
        double previous = -1;
        for (int n = 0; n < 64_000; n++) {
            double u = RowSampler.uniform(n % 40, n / 40 % 40, n / 1600);
            assertThat(u).isGreaterThanOrEqualTo(0).isLessThan(1).isNotEqualTo(previous);
            previous = u;
            bins[(int) (u * 64)]++;
        }
        double chiSquare = Arrays.stream(bins)
                .mapToDouble(b -> (b - 1000.0) * (b - 1000) / 1000)
                .sum();
        assertThat(chiSquare).as("chi-square, 63 degrees of freedom, 99.9 %%").isLessThan(103.5);
        assertThat(RowSampler.uniform(1, 2, 3))
                .isEqualTo(RowSampler.uniform(1, 2, 3))
                .isNotEqualTo(RowSampler.uniform(2, 2, 3))
                .isNotEqualTo(RowSampler.uniform(1, 3, 3))
                .isNotEqualTo(RowSampler.uniform(1, 2, 4))
                .isNotEqualTo(RowSampler.uniform(3, 2, 1));
    }

    @Test
    void topKKeepsThoseThatTieWithTheLast() {
        RowSampler sampler = rowSampler(4, List.of());
        SamplingParams params = SAMPLED.withTopK(2);
        boolean[] seen = new boolean[4];
        for (long id = 0; id < 500; id++) {
            seen[sampler.sample(new float[] {1, 1, 2, 0}, 0, sequence(id, params, 0))] = true;
        }
        assertThat(seen).containsExactly(true, true, true, false);
    }
}
