package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.ToIntFunction;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.collective.World;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.tensor.DataType;

/**
 * Lockstep by construction: whatever rows a replica has, however its ranks share the model, and however tight its steps and
 * its cache are, each row comes back exactly once, with the tokens that it has alone.
 */
@Timeout(300)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class EveryRowOnceTest {
    private static final int MOST_ROWS = 9;
    private static final GeneratorOptions ALONE = GeneratorOptions.of(64).withMaxSequences(1);

    /** Steps of a few tokens, blocks of a few, and a cache in which not even two long sequences have room. */
    private static final GeneratorOptions TIGHT = new GeneratorOptions(64, 5, 9, 3, 22, DataType.F32, true);

    private static LocalReplicas model(int tensor, int pipeline, int chunks, int data, GeneratorOptions options) {
        return new LocalReplicas(
                () -> ModelFiles.resource("/org/lockstep/oracle/models/llama-gqa-tied"),
                tensor,
                pipeline,
                chunks,
                data,
                false,
                1,
                options);
    }

    /** Ragged prompts, of which every other begins with the same instruction, and ragged outputs. */
    private static Request row(long id) {
        Random random = new Random(id);
        int[] prompt = random.ints(1 + random.nextInt(30), 3, 320).toArray();
        if (id % 2 == 0) {
            for (int i = 0; i < Math.min(20, prompt.length - 1); i++) {
                prompt[i] = 10 + i;
            }
        }
        return new Request(
                id,
                prompt,
                SamplingParams.greedy().withMaxTokens(1 + random.nextInt(33)).withIgnoreEos(random.nextBoolean()));
    }

    private static List<Request> rows(int count) {
        return LongStream.range(0, count).mapToObj(EveryRowOnceTest::row).toList();
    }

    /** What each row becomes when it has the model to itself. */
    private final List<Completion> alone = model(1, 1, 1, 1, ALONE.withEnablePrefixCaching(false))
            .onEveryRank((world, generator, backend) -> rows(MOST_ROWS).stream()
                    .flatMap(row -> generator.run(List.of(row)).stream())
                    .toList())
            .get(0);

    /** What one rank does with the rows that it is given. */
    private interface Run {
        List<Completion> of(World world, Generator generator, CpuBackend backend, List<Request> mine);
    }

    /**
     * Every division of up to {@code most} rows each over so many parts, one run after the other by the same generators.
     *
     * @param part that a rank has, by its world
     */
    private void runAll(LocalReplicas replicas, int parts, int most, ToIntFunction<World> part, Run run) {
        List<int[]> cuts = cuts(parts, most);
        List<List<List<Completion>>> byRank = replicas.onEveryRank((world, generator, backend) -> {
            List<List<Completion>> runs = new ArrayList<>();
            int mine = part.applyAsInt(world);
            for (int[] cut : cuts) {
                int from = Arrays.stream(cut, 0, mine).sum();
                List<Request> rows = rows(from + cut[mine]).subList(from, from + cut[mine]);
                runs.add(run.of(world, generator, backend, rows));
            }
            return runs;
        });
        for (int number = 0; number < cuts.size(); number++) {
            int at = number;
            List<Completion> all = byRank.stream()
                    .flatMap(runs -> runs.get(at).stream())
                    .sorted(Comparator.comparingLong(Completion::id))
                    .toList();
            int rows = Arrays.stream(cuts.get(at)).sum();
            assertThat(all).as("cut %s", Arrays.toString(cuts.get(at))).isEqualTo(alone.subList(0, rows));
        }
    }

    /** Every division of up to {@code most} rows over the replicas; how many sequences each put off because blocks ran out. */
    private Map<Integer, Integer> runAll(LocalReplicas replicas, int most) {
        Map<Integer, Integer> putOff = new ConcurrentHashMap<>();
        runAll(
                replicas,
                replicas.data(),
                most,
                world -> world.state().dataParallelRank(),
                (world, generator, backend, mine) ->
                        generator.run(generator.isSource() ? mine : List.of(), new Generator.Listener() {
                            @Override
                            public void onStep(StepStats stats) {
                                putOff.merge(world.state().dataParallelRank(), stats.preemptions(), Integer::sum);
                            }
                        }));
        return putOff;
    }

    /** Every way to give each of so many parts 0 to {@code most} rows. */
    private static List<int[]> cuts(int parts, int most) {
        List<int[]> cuts = new ArrayList<>(List.of(new int[0]));
        for (int i = 0; i < parts; i++) {
            cuts = new ArrayList<>(cuts.stream()
                    .flatMap(cut -> Stream.iterate(0, rows -> rows <= most, rows -> rows + 1)
                            .map(rows -> {
                                int[] longer = Arrays.copyOf(cut, cut.length + 1);
                                longer[cut.length] = rows;
                                return longer;
                            }))
                    .toList());
        }
        return cuts;
    }

    @ParameterizedTest(name = "tensor {0} × pipeline {1} × {2} chunks × data {3}, up to {4} rows a replica")
    @CsvSource({
        "1,1,1,1,9",
        "2,1,1,1,9",
        "1,2,1,1,9",
        "1,2,2,1,9",
        "1,4,1,1,7",
        "2,2,1,1,6",
        "2,2,2,1,6",
        "1,1,1,2,4",
        "1,2,2,2,3",
        "2,1,1,2,3",
        "1,1,1,3,2"
    })
    void everyDivisionOfTheRowsInTightQuarters(int tensor, int pipeline, int chunks, int data, int rows) {
        assertThat(runAll(model(tensor, pipeline, chunks, data, TIGHT), rows).values())
                .as("sequences put off by each replica")
                .hasSize(data)
                .allMatch(putOff -> putOff > 0 == rows > 2); // two rows of these have room
    }

    /** The same by the way of a job: every number of rows at home on each rank, pulled by the replicas. */
    @ParameterizedTest(name = "0 to {4} rows at home on each rank of tensor {0} × pipeline {1} × {2} chunks × data {3}")
    @CsvSource({"1,1,1,2,4", "1,1,1,3,3", "2,1,1,2,1", "1,2,2,2,1", "2,1,1,1,4", "1,2,1,1,4", "1,4,1,1,1"})
    void everyDivisionOfTheRowsOverTheirHomes(int tensor, int pipeline, int chunks, int data, int most) {
        runAll(
                model(tensor, pipeline, chunks, data, TIGHT),
                tensor * pipeline * data,
                most,
                world -> world.state().rank(),
                LocalReplicas::pull);
    }

    /** More rows than replicas take at once, from ranks that are no replica's source too. */
    @ParameterizedTest(name = "{4} rows at home over tensor {0} × pipeline {1} × {2} chunks × data {3}")
    @CsvSource({"1,2,2,2,9", "2,2,1,1,9", "2,1,1,2,9"})
    void manyRowsFromTheirHomes(int tensor, int pipeline, int chunks, int data, int rows) {
        assertThat(model(tensor, pipeline, chunks, data, TIGHT).complete(rows(rows)))
                .isEqualTo(alone.subList(0, rows));
    }

    @ParameterizedTest(name = "{0} sequences, {1} tokens a step, blocks of {2}, {3} of them, shared {4}")
    @CsvSource({
        "1,1,1,64,true",
        "9,9,1,64,true",
        "9,9,1,70,false",
        "9,64,16,4,true",
        "9,64,16,4,false",
        "4,4,64,1,true",
        "9,512,5,13,true",
        "9,10,7,40,false",
        "2,300,8,16,true"
    })
    void everyLimit(int sequences, int tokens, int blockSize, int blocks, boolean shared) {
        GeneratorOptions options = new GeneratorOptions(64, sequences, tokens, blockSize, blocks, DataType.F32, shared);
        runAll(model(1, 1, 1, 1, options), MOST_ROWS);
        runAll(model(1, 2, 2, 1, options), MOST_ROWS);
    }

    @Test
    void whatIsSharedAndWhatIsPutOffShowsInTheStepsOfTheVeryRun() {
        Map<Boolean, StepStats> sums = new HashMap<>();
        for (boolean shared : new boolean[] {true, false}) {
            List<StepStats> steps = new ArrayList<>();
            Generator.Listener counting = new Generator.Listener() {
                @Override
                public void onStep(StepStats stats) {
                    steps.add(stats);
                }
            };
            model(1, 1, 1, 1, TIGHT.withMaxTokensPerStep(60).withEnablePrefixCaching(shared))
                    .onEveryRank((world, generator, backend) -> {
                        assertThat(generator.run(rows(MOST_ROWS), counting)).isEqualTo(alone);
                        return null;
                    });
            sums.put(shared, steps.stream().reduce(new StepStats(0, 0, 0, 0, 0), EveryRowOnceTest::sum));
        }
        StepStats shared = sums.get(true);
        StepStats apart = sums.get(false);
        int outputs = alone.stream().mapToInt(Completion::outputTokens).sum();
        int prompts = alone.stream().mapToInt(Completion::promptTokens).sum();
        assertThat(apart.preemptions()).isPositive();
        assertThat(apart.cachedTokens()).isZero();
        assertThat(apart.promptTokens()).as("with what was computed again").isGreaterThan(prompts);
        assertThat(shared.cachedTokens()).isPositive();
        assertThat(shared.promptTokens()).isLessThan(apart.promptTokens());
        assertThat(List.of(shared.outputTokens(), apart.outputTokens())).containsOnly(outputs);
    }

    private static StepStats sum(StepStats a, StepStats b) {
        return new StepStats(
                a.sequences() + b.sequences(),
                a.promptTokens() + b.promptTokens(),
                a.cachedTokens() + b.cachedTokens(),
                a.outputTokens() + b.outputTokens(),
                a.preemptions() + b.preemptions());
    }
}
