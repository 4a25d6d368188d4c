package org.lockstep.inference;

import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.TensorSource;
import org.lockstep.collective.Communicators;
import org.lockstep.model.CacheSize;
import org.lockstep.model.ModelConfig;
import org.lockstep.model.PipelineStage;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.Tensor;
import org.lockstep.topology.Axis;
import org.lockstep.topology.ParallelState;
import org.lockstep.topology.ProcessGroup;

/**
 * One replica's loop, run by every rank of it: requests in, completions out, step by step.
 *
 * <p>Only the source rank has requests and decides; all others do what its plan says, so every rank makes the same
 * collective calls whatever its data. Confined to its rank's thread. A failure on one rank is to be spread by aborting
 * the communicators; the generator is dead after it.
 */
public final class Generator implements AutoCloseable {
    private final ModelConfig config;
    private final ForwardPass forward;
    private final GeneratorOptions options;
    private final @Nullable Tokenizer tokenizer;
    private final PlanRelay relay;
    private final Sampler sampler;
    private final Timetable timetable;
    private final boolean source;
    private final @Nullable Scheduler scheduler; // on the source rank
    private final boolean samples;
    private final int sourceRank;
    private final int samplerRank;
    private final LongSupplier clock;
    private long nanos;
    private long computeNanos;

    /** The model on this rank; see {@link PipelineStage}. */
    interface ForwardPass extends AutoCloseable {
        void exchange(int outgoing, int incoming);

        Optional<Tensor> forward(int chunk, int[] ids, BatchLayout layout, int[] logitRows);

        @Override
        void close();
    }

    /** Hears of progress: of its own turns on every rank's thread, of the rest on the source rank's; what it throws ends the run. */
    public interface Listener {
        /** After each turn of this rank with a micro-batch, waits of its tensor group included. In {@link System#nanoTime}. */
        default void onTurn(long start, long end) {}

        /**
         * As soon as a request has another token, one that ends it included.
         *
         * @param position in the output, from 0
         * @param waited nanoseconds since its token before, or since the replica took it
         */
        default void onToken(long id, int position, int token, long waited) {}

        /** After each step. */
        default void onStep(StepStats stats) {}

        /** As soon as a request is done; in the order of being done. */
        default void onCompletion(Completion completion) {}
    }

    private static final Listener SILENT = new Listener() {};

    Generator(
            ModelConfig config,
            ForwardPass forward,
            ParallelState state,
            Communicators communicators,
            Kernels kernels,
            @Nullable Tokenizer tokenizer,
            GeneratorOptions options,
            LongSupplier clock) {
        if (options.maxModelLength() > config.maxPositions()) {
            throw new IllegalArgumentException("maxModelLength (" + options.maxModelLength()
                    + ") is more than the model's positions (" + config.maxPositions() + ")");
        }
        ProcessGroup replica = state.modelParallelGroup();
        int me = replica.rankInGroup(state.rank());
        this.config = config;
        this.forward = forward;
        this.options = options;
        this.clock = clock;
        this.tokenizer = tokenizer;
        this.sampler = new Sampler(config.vocabularySize(), config.endTokens(), kernels);
        this.sourceRank = replica.rankInGroup(state.modelParallelSrcRank());
        this.samplerRank = replica.rankInGroup(sampler(state, replica));
        this.source = me == sourceRank;
        this.timetable = new Timetable(
                state.pipelineModelParallelWorldSize(),
                state.grid().sizes().chunks(),
                state.pipelineModelParallelRank());
        this.relay = new PlanRelay(communicators.model(), kernels, options, timetable.stages());
        this.scheduler = source ? new Scheduler(options, timetable.stages()) : null;
        this.samples = me == samplerRank;
    }

    /**
     * Loads this rank's share of the model. Every rank of the replica calls it, with equal options.
     *
     * @param tokenizer makes the text on the source rank and must outlive this; without one completions have tokens and
     *     no text, and stop strings are refused
     */
    public static Generator load(
            ModelConfig config,
            TensorSource checkpoint,
            ParallelState state,
            Communicators communicators,
            Kernels kernels,
            @Nullable Tokenizer tokenizer,
            GeneratorOptions options) {
        PipelineStage stage = PipelineStage.load(
                config,
                checkpoint,
                state,
                communicators,
                kernels,
                new CacheSize(
                        options.cacheBlocks(), options.blockSize(), options.maxModelLength(), options.cacheType()),
                options.maxTokensPerStep());
        ForwardPass forward = new ForwardPass() {
            @Override
            public void exchange(int outgoing, int incoming) {
                stage.exchange(outgoing, incoming);
            }

            @Override
            public Optional<Tensor> forward(int chunk, int[] ids, BatchLayout layout, int[] logitRows) {
                return stage.forward(chunk, ids, layout, logitRows);
            }

            @Override
            public void close() {
                stage.close();
            }
        };
        boolean loaded = false;
        try {
            stage.reserve(options.maxSequences());
            Generator made =
                    new Generator(config, forward, state, communicators, kernels, tokenizer, options, System::nanoTime);
            loaded = true;
            return made;
        } finally {
            if (!loaded) {
                stage.close();
            }
        }
    }

    /** The rank that has the logits: the first tensor rank of the last pipeline stage. */
    private static int sampler(ParallelState state, ProcessGroup replica) {
        return replica.stream()
                .filter(rank -> state.grid().coordinate(rank, Axis.TP) == 0
                        && state.grid().state(rank).isPipelineLastStage(true))
                .findFirst()
                .orElseThrow();
    }

    /** Whether this is the rank that holds the replica's requests. */
    public boolean isSource() {
        return source;
    }

    /** {@link #run(List, Listener)} without a listener. */
    public List<Completion> run(List<Request> requests) {
        return run(requests, SILENT);
    }

    /**
     * Completes all requests of the replica. Collective: every rank of the replica calls it.
     *
     * @param requests on the source rank; empty on all others, and there too if there is nothing to do
     * @return on the source rank one completion for each request, in the same order; empty on all others
     * @throws IllegalArgumentException before anything is sent, if a rank that is not the source has requests, an id comes
     *     twice, a prompt is empty, has an id outside the vocabulary or leaves no room for a token, or stop strings come
     *     without a tokenizer
     * @throws LockstepException what the communicators throw
     */
    public List<Completion> run(List<Request> requests, Listener listener) {
        if (!source && !requests.isEmpty()) {
            throw new IllegalArgumentException(
                    requests.size() + " requests on a rank that is not its replica's source (rank " + sourceRank
                            + " of the model group)");
        }
        Map<Long, Completion> done = new LinkedHashMap<>();
        Set<Long> ids = new HashSet<>();
        for (Request request : requests) {
            SourceDesk.check(request, config, options, tokenizer);
            if (!ids.add(request.id())) {
                throw new IllegalArgumentException("request id " + request.id() + " comes twice");
            }
        }
        run(RequestSource.of(requests), new Listener() {
            @Override
            public void onTurn(long start, long end) {
                listener.onTurn(start, end);
            }

            @Override
            public void onToken(long id, int position, int token, long waited) {
                listener.onToken(id, position, token, waited);
            }

            @Override
            public void onStep(StepStats stats) {
                listener.onStep(stats);
            }

            @Override
            public void onCompletion(Completion completion) {
                done.put(completion.id(), completion);
                listener.onCompletion(completion);
            }
        });
        return requests.stream()
                .map(request -> Objects.requireNonNull(done.get(request.id())))
                .toList();
    }

    /**
     * Completes the requests that the source gives, until it is drained; the listener gets the completions, and nothing is
     * kept of them. Collective: every rank of the replica calls it.
     *
     * @param requests on the source rank; not asked on any other
     * @throws IllegalArgumentException before anything of it is sent, if a request has the id of one that is not done, a
     *     prompt that is empty, has an id outside the vocabulary or leaves no room for a token, or stop strings and there is
     *     no tokenizer
     * @throws LockstepException ABORTED if interrupted while it waits for requests; otherwise what the communicators throw
     */
    public void run(RequestSource requests, Listener listener) {
        SourceDesk desk = scheduler == null
                ? null
                : new SourceDesk(config, options, tokenizer, scheduler, requests, listener, clock);
        long start = clock.getAsLong();
        try {
            loop(desk, listener);
        } finally {
            nanos += clock.getAsLong() - start;
        }
    }

    /** A lane of the pipeline: its micro-batch, and the tick that came in with, if it is on its way. */
    private static final class Lane {
        final MicroBatch batch;
        boolean taken;
        long start;

        Lane(int blockSize) {
            this.batch = new MicroBatch(blockSize);
        }
    }

    /** Tick by tick: tokens of the micro-batch that has arrived, the plan of the next, and this rank's own turn. */
    private void loop(@Nullable SourceDesk desk, Listener listener) {
        @Nullable Sequence[] running = new @Nullable Sequence[options.maxSequences()];
        Lane[] lanes = new Lane[timetable.stages()];
        Arrays.setAll(lanes, lane -> new Lane(options.blockSize()));
        int outgoing = 0; // tokens whose hidden states this rank has for its neighbour
        for (long tick = 0; ; tick++) {
            Lane entering = lanes[timetable.entering(tick)];
            if (entering.taken && tick - entering.start == timetable.length()) {
                land(entering.batch, desk);
                entering.taken = false;
            }
            if (!entering.taken) {
                StepPlan plan = relay.share(desk == null ? null : desk.next(), sourceRank);
                if (plan.end()) {
                    return;
                }
                MicroBatch.seat(plan, running);
                if (plan.slots().length > 0) {
                    entering.batch.fill(plan, running);
                    entering.taken = true;
                    entering.start = tick;
                }
            }
            outgoing = work(lanes[timetable.working(tick)], tick, outgoing, listener);
        }
    }

    /** This rank's turn with a micro-batch, or with none; returns how many tokens its neighbour gets afterwards. */
    private int work(Lane lane, long tick, int outgoing, Listener listener) {
        if (!lane.taken) {
            forward.exchange(outgoing, 0);
            return 0;
        }
        MicroBatch batch = lane.batch;
        int age = (int) (tick - lane.start);
        forward.exchange(outgoing, age == 0 ? 0 : batch.tokens());
        long start = clock.getAsLong();
        Optional<Tensor> logits = forward.forward(timetable.chunk(age), batch.ids(), batch.layout(), batch.logitRows());
        boolean last = timetable.isLast(age);
        if (last && samples) {
            sampler.sample(logits.orElseThrow(), batch.sequences(), batch.sampled());
        }
        long end = clock.getAsLong();
        computeNanos += end - start;
        listener.onTurn(start, end);
        return last ? 0 : batch.tokens();
    }

    private void land(MicroBatch batch, @Nullable SourceDesk desk) {
        relay.broadcast(batch.sampled(), batch.sampled().length, samplerRank);
        append(batch);
        if (desk != null) {
            desk.accept(batch);
        }
    }

    /** How this rank spent the time of its runs so far. */
    public StageTimes times() {
        return new StageTimes(nanos, computeNanos);
    }

    private void append(MicroBatch batch) {
        for (int row = 0; row < batch.sampled().length; row++) {
            int token = batch.sampled()[row];
            if (token == Sampler.NONE) {
                continue; // the source ends it
            }
            if (token < 0 || token >= config.vocabularySize()) {
                throw LockstepException.report(
                                ErrorCode.PROTOCOL,
                                "sampled token " + token + " is not in 0.." + (config.vocabularySize() - 1))
                        .exception();
            }
            batch.sequences().get(row).append(token);
        }
    }

    /** Gives the loaded model back. Idempotent. */
    @Override
    public void close() {
        try {
            forward.close();
        } finally {
            relay.close();
        }
    }
}
