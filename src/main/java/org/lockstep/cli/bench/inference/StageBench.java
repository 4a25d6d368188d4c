package org.lockstep.cli.bench.inference;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.lockstep.cli.bench.inference.GangClock.Timing;
import org.lockstep.cli.bench.inference.Speed.MemoryUse;
import org.lockstep.cli.bench.inference.Speed.Percentiles;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.Communicators;
import org.lockstep.model.CacheSize;
import org.lockstep.model.PipelineStage;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.topology.ParallelState;

/**
 * Measures steps of the model itself on one rank: prompts and decoding, without scheduler and sampler. Confined to the rank's
 * thread.
 */
final class StageBench {
    private static final int BLOCK = 16;

    /** A prompt that is long enough for all kernels of longer ones to be compiled. */
    private static final int WARM_PROMPT = 64;

    private final ParallelState state;
    private final Kernels kernels;
    private final Communicator pipeline;
    private final Communicators communicators;
    private final SpeedPlan plan;
    private final GangClock clock;
    private final Consumer<? super Speed> report;

    StageBench(
            ParallelState state,
            Communicators communicators,
            Kernels kernels,
            SpeedPlan plan,
            GangClock clock,
            Consumer<? super Speed> report) {
        this.state = state;
        this.kernels = kernels;
        this.communicators = communicators;
        this.pipeline = communicators.pipeline();
        this.plan = plan;
        this.clock = clock;
        this.report = report;
    }

    /** Loads this rank's share, measures, and gives it back. */
    void run(BenchModel model) {
        int sequences = plan.largestBatch();
        CacheSize cache = new CacheSize(
                sequences * blocks(plan.positions()),
                BLOCK,
                plan.positions(),
                model.held().cacheOn(kernels.device().kind()));
        int tokens = Math.max(plan.promptLength(), sequences);
        try (PipelineStage stage = model.read(
                weights -> PipelineStage.load(model.config(), weights, state, communicators, kernels, cache, tokens))) {
            stage.reserve(sequences);
            int vocabulary = model.config().vocabularySize();
            if (plan.promptLength() > 0) {
                prompt(stage, vocabulary);
            }
            if (plan.outputLength() > 0) {
                plan.batches().forEach(batch -> decode(stage, vocabulary, batch));
            }
        }
    }

    private void prompt(PipelineStage stage, int vocabulary) {
        int length = plan.promptLength();
        int warm = Math.min(WARM_PROMPT, length);
        clock.warmUp(new Repetition(Step.ofPrompt(stage, tokens(vocabulary, warm)), List.of(layout(1, warm, warm))));
        Repetition whole =
                new Repetition(Step.ofPrompt(stage, tokens(vocabulary, length)), List.of(layout(1, length, length)));
        clock.warmUp(whole);
        Timing timing = clock.measure(whole, plan.repetitions());
        report(stage, "pp" + length, 1, 0, length, timing, Percentiles.of(whole.nanos), Percentiles.NONE);
    }

    private void decode(PipelineStage stage, int vocabulary, int batch) {
        int steps = plan.steps(batch);
        int depth = plan.depth(batch);
        List<BatchLayout> layouts = IntStream.rangeClosed(depth + 1, depth + steps)
                .mapToObj(context -> layout(batch, 1, context))
                .toList();
        Repetition whole = new Repetition(Step.ofDecoding(stage, tokens(vocabulary, batch)), layouts);
        clock.warmUp(whole);
        Timing timing = clock.measure(whole, plan.repetitions());
        report(stage, "tg", batch, depth, batch * steps, timing, Percentiles.NONE, Percentiles.of(whole.nanos));
    }

    private void report(
            PipelineStage stage,
            String test,
            int batch,
            int depth,
            int tokens,
            Timing timing,
            Percentiles firstToken,
            Percentiles interToken) {
        MemoryUse memory =
                clock.largest(new MemoryUse(stage.weightBytes(), stage.cacheBytes(), stage.activationBytes()));
        if (state.rank() == 0) {
            double all = 1e9 * state.dataParallelWorldSize() * tokens;
            report.accept(new Speed(
                    test,
                    batch,
                    depth,
                    all / timing.median(),
                    all / timing.best(),
                    firstToken,
                    interToken,
                    timing.shares(),
                    memory));
        }
    }

    /** The same on all ranks. */
    private static int[] tokens(int vocabulary, int count) {
        return new Random(count).ints(count, 0, vocabulary).toArray();
    }

    /** Sequences of {@code context} tokens, of which each brings the last {@code count}. */
    private static BatchLayout layout(int sequences, int count, int context) {
        int blocks = blocks(context);
        int[] starts = IntStream.rangeClosed(0, sequences).map(s -> s * count).toArray();
        int[] contexts = new int[sequences];
        Arrays.fill(contexts, context);
        int[][] tables = IntStream.range(0, sequences)
                .mapToObj(s -> IntStream.range(0, blocks)
                        .map(block -> block * sequences + s) // as they are dealt to sequences that grow side by side
                        .toArray())
                .toArray(int[][]::new);
        return new BatchLayout(starts, contexts, tables, BLOCK);
    }

    private static int blocks(int positions) {
        return (positions + BLOCK - 1) / BLOCK;
    }

    /**
     * A step of the model and the likeliest tokens after it, on all ranks of the replica.
     *
     * @param next where they go, one for each of {@code logitRows}
     */
    @SuppressWarnings("ArrayRecordComponent") // written by each step
    private record Step(PipelineStage stage, int[] ids, int[] logitRows, int[] next) {
        static Step ofPrompt(PipelineStage stage, int[] ids) {
            return new Step(stage, ids, new int[] {ids.length - 1}, new int[1]);
        }

        /** One token of each sequence, which the next takes the place of. */
        static Step ofDecoding(PipelineStage stage, int[] ids) {
            return new Step(stage, ids, IntStream.range(0, ids.length).toArray(), ids);
        }
    }

    /** Steps one after the other, each timed. */
    private final class Repetition implements Runnable {
        private final Step step;
        private final List<BatchLayout> layouts;
        private final HostBuffer next;

        /** Of the steps of the last repetitions, as many as are measured. */
        final long[] nanos;

        private int at;

        Repetition(Step step, List<BatchLayout> layouts) {
            this.step = step;
            this.layouts = layouts;
            this.next = HostBuffer.of(DataType.I32, step.next);
            this.nanos = new long[layouts.size() * plan.repetitions()];
        }

        @Override
        public void run() {
            for (BatchLayout layout : layouts) {
                long start = System.nanoTime();
                if (!step.stage.isFirst()) {
                    step.stage.exchange(0, layout.tokens());
                }
                step.stage
                        .forward(0, step.ids, layout, step.logitRows)
                        .ifPresent(logits -> kernels.argmax(logits, step.next));
                if (!step.stage.isLast()) {
                    step.stage.exchange(layout.tokens(), 0);
                }
                pipeline.broadcast(next, pipeline.size() - 1);
                nanos[at] = System.nanoTime() - start;
                at = (at + 1) % nanos.length;
            }
        }
    }
}
