package org.lockstep.cli.bench.inference;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import org.lockstep.cli.bench.inference.GangClock.Timing;
import org.lockstep.cli.bench.inference.Speed.Percentiles;
import org.lockstep.collective.Communicators;
import org.lockstep.inference.Generator;
import org.lockstep.inference.GeneratorOptions;
import org.lockstep.inference.Request;
import org.lockstep.inference.SamplingParams;
import org.lockstep.tensor.Kernels;
import org.lockstep.topology.ParallelState;

/**
 * Measures whole requests on one rank, all of a batch there from the start: scheduler, model, sampler. Confined to the rank's
 * thread.
 */
final class EngineBench {
    private final ParallelState state;
    private final Communicators communicators;
    private final Kernels kernels;
    private final SpeedPlan plan;
    private final GangClock clock;
    private final Consumer<? super Speed> report;
    private final Random random = new Random(7);

    EngineBench(
            ParallelState state,
            Communicators communicators,
            Kernels kernels,
            SpeedPlan plan,
            GangClock clock,
            Consumer<? super Speed> report) {
        this.state = state;
        this.communicators = communicators;
        this.kernels = kernels;
        this.plan = plan;
        this.clock = clock;
        this.report = report;
    }

    /** Loads this rank's share, measures, and gives it back. */
    void run(BenchModel model) {
        GeneratorOptions options = GeneratorOptions.of(plan.promptLength() + plan.outputLength())
                .withMaxSequences(plan.largestBatch())
                .withCacheType(model.held().cacheOn(kernels.device().kind()));
        try (Generator generator = model.read(
                weights -> Generator.load(model.config(), weights, state, communicators, kernels, null, options))) {
            plan.batches().forEach(batch -> measure(generator, model.config().vocabularySize(), batch));
        }
    }

    private void measure(Generator generator, int vocabulary, int batch) {
        Gaps gaps = new Gaps();
        clock.warmUp(() -> complete(generator, vocabulary, batch, gaps));
        gaps.clear();
        Timing timing = clock.measure(() -> complete(generator, vocabulary, batch, gaps), plan.repetitions());
        if (state.rank() == 0) {
            double all = 1e9 * state.dataParallelWorldSize() * batch * plan.outputLength();
            report.accept(new Speed(
                    "generate",
                    batch,
                    0,
                    all / timing.median(),
                    all / timing.best(),
                    Percentiles.of(gaps.first.toArray()),
                    Percentiles.of(gaps.later.toArray()),
                    timing.shares(),
                    null));
        }
    }

    /** Prompts are new each time: one that was seen before may be in the cache. */
    private void complete(Generator generator, int vocabulary, int batch, Gaps gaps) {
        List<Request> requests = new ArrayList<>();
        if (generator.isSource()) {
            SamplingParams params =
                    SamplingParams.greedy().withMaxTokens(plan.outputLength()).withIgnoreEos(true);
            for (int i = 0; i < batch; i++) {
                requests.add(new Request(
                        i, random.ints(plan.promptLength(), 0, vocabulary).toArray(), params));
            }
        }
        generator.run(requests, gaps);
    }

    /** Times to tokens, as a replica's source rank hears of them. Confined to its thread. */
    private static final class Gaps implements Generator.Listener {
        final Times first = new Times();
        final Times later = new Times();

        void clear() {
            first.size = 0;
            later.size = 0;
        }

        @Override
        public void onToken(long id, int position, int token, long waited) {
            (position == 0 ? first : later).add(waited);
        }
    }

    /** A list of longs. */
    private static final class Times {
        private long[] nanos = new long[64];
        private int size;

        void add(long each) {
            if (size == nanos.length) {
                nanos = Arrays.copyOf(nanos, 2 * size);
            }
            nanos[size++] = each;
        }

        long[] toArray() {
            return Arrays.copyOf(nanos, size);
        }
    }
}
