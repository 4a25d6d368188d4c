package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.checkpoint.Checkpoint;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.collective.World;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.model.CacheSize;
import org.lockstep.model.PipelineStage;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.Tensor;

/** As many micro-batches are on their way as there are stages, and the time without one is what arithmetic says. */
@Timeout(300)
class PipelineScheduleTest {
    private static final Fable.Golden GOLDEN = Fable.golden().get(0);
    private static final int PROMPT = 16;
    private static final SamplingParams ONE =
            SamplingParams.greedy().withMaxTokens(1).withIgnoreEos(true);

    /** A stage that goes on from the turn in which the ring is full only when all stages are in theirs. */
    private static final class Meeting implements Generator.ForwardPass {
        private final PipelineStage stage;
        private final CountDownLatch missing;
        private int turnsAlone; // before the ring is full

        Meeting(PipelineStage stage, CountDownLatch missing, int turnsAlone) {
            this.stage = stage;
            this.missing = missing;
            this.turnsAlone = turnsAlone;
        }

        @Override
        public void exchange(int outgoing, int incoming) {
            stage.exchange(outgoing, incoming);
        }

        @Override
        public Optional<Tensor> forward(int chunk, int[] ids, BatchLayout layout, int[] logitRows) {
            if (turnsAlone-- == 0) {
                missing.countDown();
                try {
                    assertThat(missing.await(2, TimeUnit.MINUTES))
                            .as("all stages work at once; %d do not", missing.getCount())
                            .isTrue();
                } catch (InterruptedException e) {
                    throw new IllegalStateException(e);
                }
            }
            return stage.forward(chunk, ids, layout, logitRows);
        }

        @Override
        public void close() {
            stage.close();
        }
    }

    @ParameterizedTest(name = "{0} stages of {1} chunks")
    @CsvSource({"2,1", "4,1", "2,2"})
    void everyStageIsInATurnAtTheSameTime(int stages, int chunks) {
        LocalReplicas fable = LocalReplicas.fable(1, stages, 1).interleaved(chunks);
        CountDownLatch missing = new CountDownLatch(stages);
        List<Request> requests = LongStream.range(0, stages)
                .mapToObj(id -> new Request(id, GOLDEN.promptIds(), ONE.withMaxTokens(8)))
                .toList();
        List<List<Completion>> all = fable.onEveryRank((world, other, backend) -> {
            int turnsAlone = stages - 1 - world.state().pipelineModelParallelRank();
            try (Generator generator = generator(
                    fable,
                    world,
                    backend,
                    new Meeting(stage(fable, world, backend), missing, turnsAlone),
                    System::nanoTime)) {
                return generator.run(generator.isSource() ? requests : List.of());
            }
        });
        assertThat(all.get(0)).hasSize(stages);
        for (Completion each : all.get(0)) {
            assertThat(each.tokens()).startsWith(GOLDEN.greedyIds()[0]).hasSize(8);
        }
    }

    private static PipelineStage stage(LocalReplicas fable, World world, CpuBackend backend) {
        GeneratorOptions options = fable.options();
        try (ModelFiles files = Fable.files();
                Checkpoint checkpoint = Checkpoint.open(files)) {
            return PipelineStage.load(
                    Fable.config(),
                    checkpoint,
                    world.state(),
                    world.communicators(),
                    backend.kernels(),
                    new CacheSize(options.cacheBlocks(), options.blockSize(), options.cacheType()),
                    options.maxTokensPerStep());
        }
    }

    private static Generator generator(
            LocalReplicas fable, World world, CpuBackend backend, Generator.ForwardPass forward, LongSupplier clock) {
        return new Generator(
                Fable.config(),
                forward,
                world.state(),
                world.communicators(),
                backend.kernels(),
                null,
                fable.options(),
                clock);
    }

    /** A stage whose every turn takes the same time, by a clock that stands still but for it: a tick begins when all are through. */
    private static final class Metronome implements Generator.ForwardPass, LongSupplier {
        private static final long TURN = 1000;

        private final Optional<Tensor> logits;
        private long ticks;
        private long now;

        Metronome(boolean last) {
            this.logits = last
                    ? Optional.of(Tensor.of(Buffer.ofFloats(new float[Fable.VOCABULARY]), 1, Fable.VOCABULARY))
                    : Optional.empty();
        }

        @Override
        public void exchange(int outgoing, int incoming) {
            now = TURN * ticks++;
        }

        @Override
        public Optional<Tensor> forward(int chunk, int[] ids, BatchLayout layout, int[] logitRows) {
            now += TURN;
            return logits;
        }

        @Override
        public long getAsLong() {
            return now;
        }

        @Override
        public void close() {}
    }

    /** What the last stage measures of micro-batches of one request and one token each, each of its turns being as long as any other. */
    private static StageTimes lastStage(int stages, int chunks, int batches) {
        LocalReplicas fable = LocalReplicas.fable(1, stages, 1)
                .interleaved(chunks)
                .with(GeneratorOptions.of(512)
                        .withMaxSequences(batches)
                        .withMaxTokensPerStep(PROMPT)
                        .withEnablePrefixCaching(false));
        List<Request> requests = LongStream.range(0, batches)
                .mapToObj(id -> new Request(id, new int[PROMPT], ONE))
                .toList();
        List<StageTimes> times = fable.onEveryRank((world, other, backend) -> {
            Metronome metronome = new Metronome(world.state().isPipelineLastStage(true));
            try (Generator generator = generator(fable, world, backend, metronome, metronome)) {
                assertThat(generator.run(generator.isSource() ? requests : List.of()))
                        .hasSize(generator.isSource() ? batches : 0);
                return generator.times();
            }
        });
        return times.get(stages - 1);
    }

    /** (s - 1) / (m v + s - 1) of s stages, m micro-batches and v chunks: Narayanan et al., 2021, for the forward pass. */
    @ParameterizedTest(name = "{0} stages of {1} chunks, {2} micro-batches")
    @CsvSource({"1,1,3", "2,1,2", "2,1,10", "4,1,4", "4,1,12", "2,2,2", "2,2,10"})
    void theBubbleIsTheKnownOne(int stages, int chunks, int batches) {
        StageTimes times = lastStage(stages, chunks, batches);
        assertThat(times.computeNanos()).isEqualTo(Metronome.TURN * batches * chunks);
        assertThat(times.waitNanos()).isEqualTo(Metronome.TURN * (stages - 1));
        assertThat(times.bubble()).isCloseTo((stages - 1.0) / (batches * chunks + stages - 1), within(1e-12));
    }

    @Test
    void virtualStagesMakeItSmaller() {
        assertThat(lastStage(2, 2, 4).bubble()).isLessThan(lastStage(2, 1, 4).bubble());
    }
}
