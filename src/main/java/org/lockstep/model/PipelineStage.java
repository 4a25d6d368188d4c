package org.lockstep.model;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.TensorSource;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Communicators;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.CacheBlocks;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.Step;
import org.lockstep.tensor.StepLimits;
import org.lockstep.tensor.Tensor;
import org.lockstep.tensor.Weight;
import org.lockstep.topology.LayerRange;
import org.lockstep.topology.ParallelState;

/**
 * One rank's part of a model: some of its layers, a share of each.
 *
 * <p>The layers come in chunks, one, or several in an interleaved pipeline (Narayanan et al., 2021): a batch passes the first
 * chunk of every stage, then goes round to the second of the first. {@link #forward} takes the batch at hand through a chunk;
 * {@link #exchange} hands what came out to the next stage and takes in what comes from the one before, both at once, so that
 * a ring of stages that all have work cannot block. Who works on what when is the caller's business.
 *
 * <p>The tensor ranks of a stage make the same calls in the same order and work on the same tokens; each hands its hidden
 * states to its own neighbour. Logits have the same bits for every pipeline size, number of chunks and batch, and for every
 * tensor size that divides the model's segments (the largest power of two, up to 8, in its heads and in its intermediate
 * size).
 *
 * <p>Confined to its rank's thread. After a {@link CommunicatorException} only {@link #close} may be called.
 */
public final class PipelineStage implements AutoCloseable {
    static final String FINAL_NORM = "model.norm.weight";

    private final ModelConfig config;
    private final Kernels kernels;
    private final Communicator pipeline;
    private final boolean recordable; // no exchange through the host in the layers, none that is looked through
    private final StageMemory memory;
    private final long weightBytes;
    private final int positions;
    private final int heads; // of queries, on this rank
    private final @Nullable VocabParallelEmbedding embedding; // on the first stage
    private final List<Chunk> chunks;
    private final @Nullable Head head; // on the last stage
    private final CacheSize cacheSize;
    private final RunState run;

    /** Layers that follow each other, and their part of the cache. */
    private record Chunk(LayerRange range, List<DecoderLayer> layers, KvCache cache) {
        void forward(RunState.Activations a, BatchLayout layout, Kernels kernels) {
            for (int i = 0; i < layers.size(); i++) {
                try {
                    layers.get(i).forward(a, layout, cache.layers().get(i), i > 0);
                } catch (LockstepException failure) {
                    throw failure.code() == ErrorCode.NOT_FINITE ? inLayer(range.start() + i, failure) : failure;
                }
            }
            if (!layers.isEmpty()) {
                kernels.add(a.hidden(), a.delta());
            }
        }

        private static LockstepException inLayer(int layer, LockstepException failure) {
            return LockstepException.report(failure)
                    .with("layer", "model.layers." + layer)
                    .exception();
        }
    }

    /** What follows the last layer. */
    private record Head(Tensor norm, ParallelLmHead logits) {}

    private PipelineStage(
            ModelConfig config,
            TensorSource checkpoint,
            ParallelState state,
            Communicators communicators,
            Kernels kernels,
            StageMemory memory,
            CacheSize cacheSize,
            int maxTokens) {
        this.config = config;
        this.kernels = kernels;
        this.memory = memory;
        this.cacheSize = cacheSize;
        this.pipeline = communicators.pipeline();
        this.positions = Math.min(config.maxPositions(), cacheSize.longest());
        Communicator tensor = communicators.tensor();
        this.recordable = tensor.size() == 1 || tensor.isRecordable();
        ShardPlan plan = ShardPlan.of(config, tensor.rankInGroup(), tensor.size());
        this.heads = plan.heads();
        Parameters parameters = new Parameters(checkpoint, memory, config.weightType());
        RotaryTable rotary = RotaryTable.of(config, positions, memory);
        long before = memory.bytes();
        this.embedding = state.isPipelineFirstStage(0)
                ? VocabParallelEmbedding.load(parameters, kernels, tensor, config, plan)
                : null;
        List<List<DecoderLayer>> layers = ranges(state, config).stream()
                .map(range -> range.stream()
                        .mapToObj(layer -> DecoderLayer.load(parameters, kernels, tensor, rotary, layer, config, plan))
                        .toList())
                .toList();
        Weight table = state.isPipelineLastStage(true)
                ? embedding != null && config.tiedEmbeddings()
                        ? embedding.table()
                        : ParallelLmHead.loadTable(parameters, config, plan)
                : null;
        Tensor norm = table == null ? null : parameters.vector(FINAL_NORM, config.hiddenSize());
        this.weightBytes = memory.bytes() - before;
        this.head = table == null || norm == null
                ? null
                : new Head(norm, new ParallelLmHead(kernels, tensor, memory, table, config.vocabularySize()));
        List<Chunk> parts = new ArrayList<>();
        for (LayerRange range : ranges(state, config)) {
            KvCache cache = KvCache.allocate(memory, cacheSize, range.size(), plan.keyValueHeads(), config.headSize());
            parts.add(new Chunk(range, layers.get(parts.size()), cache));
        }
        this.chunks = List.copyOf(parts);
        this.run = RunState.allocate(memory, config, plan, maxTokens, pipeline.size() > 1);
    }

    private static List<LayerRange> ranges(ParallelState state, ModelConfig config) {
        return IntStream.range(0, state.grid().sizes().chunks())
                .mapToObj(chunk ->
                        state.withVirtualPipelineModelParallelRank(chunk).layers(config.layers()))
                .toList();
    }

    /**
     * Reads this rank's share of the weights, and only that, and allocates the cache and the activations.
     *
     * @param checkpoint only read from here; may be closed afterwards
     * @param communicators of tensor and pipeline; stay the caller's
     * @param kernels stay the caller's
     * @param maxTokens of one step, all sequences together
     * @throws LockstepException MODEL_SHAPE if the model cannot be split so; CHECKPOINT_INVALID if a tensor is missing or
     *     has another shape than the config asks for
     */
    public static PipelineStage load(
            ModelConfig config,
            TensorSource checkpoint,
            ParallelState state,
            Communicators communicators,
            Kernels kernels,
            CacheSize cache,
            int maxTokens) {
        config.checkSplit(
                state.tensorModelParallelWorldSize(),
                state.pipelineModelParallelWorldSize(),
                state.grid().sizes().chunks());
        StageMemory memory = new StageMemory(kernels);
        boolean loaded = false;
        try {
            PipelineStage stage =
                    new PipelineStage(config, checkpoint, state, communicators, kernels, memory, cache, maxTokens);
            loaded = true;
            return stage;
        } finally {
            if (!loaded) {
                memory.close();
            }
        }
    }

    /**
     * Takes what steps of so many sequences need beside what is loaded, so that they take no memory of the device.
     *
     * @throws LockstepException OUT_OF_MEMORY
     */
    public void reserve(int sequences) {
        kernels.reserve(
                new StepLimits(run.maxTokens(), sequences, positions, cacheSize.blockSize(), heads, config.headSize()));
        if (head != null) {
            head.logits().reserve(sequences);
        }
    }

    /** Whether tokens enter here. */
    public boolean isFirst() {
        return embedding != null;
    }

    /** Whether logits leave here. */
    public boolean isLast() {
        return head != null;
    }

    /** The layers held here, chunk by chunk. */
    public List<LayerRange> layers() {
        return chunks.stream().map(Chunk::range).toList();
    }

    /** Bytes of this rank's weights on its device, norms and biases as the f32 they are widened to. */
    public long weightBytes() {
        return weightBytes;
    }

    /** Bytes of this rank's keys and values. */
    public long cacheBytes() {
        return chunks.stream()
                .flatMap(chunk -> chunk.cache().layers().stream())
                .mapToLong(CacheBlocks::bytes)
                .sum();
    }

    /** Bytes of all else: activations, the logits' room as large as it came to be, and the table of positions. */
    public long activationBytes() {
        return memory.bytes() - weightBytes;
    }

    /**
     * Hands the hidden states that the last {@link #forward} left to the next stage, and takes in those of another batch from
     * the stage before; after the last stage comes the first. The neighbours do their part in the same turn.
     *
     * @param outgoing tokens of the batch that goes on; 0 if none does
     * @param incoming tokens of the batch that comes; 0 if none does, as where a batch enters the model
     * @throws CommunicatorException if a peer is lost or disagrees
     */
    public void exchange(int outgoing, int incoming) {
        if (outgoing == 0 && incoming == 0) {
            return;
        }
        Tensor out = run.hidden(outgoing);
        run.turn();
        Tensor in = run.hidden(incoming);
        pipeline.grouped(together -> {
            if (outgoing > 0) {
                together.send(out.buffer(), neighbour(1));
            }
            if (incoming > 0) {
                together.receive(in.buffer(), neighbour(-1));
            }
        });
    }

    /**
     * Takes a batch through one chunk of this stage's layers: from its tokens where they enter the model, else from the
     * hidden states that {@link #exchange} took in.
     *
     * @param chunk from 0
     * @param ids the tokens of the step, the same on all ranks; (tokens)
     * @param layout where they stand; its blocks are of this stage's cache
     * @param logitRows the tokens of the step after which logits are wanted, the same on all ranks; may be empty
     * @return after the last chunk of the last stage logits (logitRows, vocabulary), f32, equal on its tensor ranks and valid
     *     until the next call; elsewhere empty
     * @throws IllegalArgumentException if the step is larger than this stage was made for, or a chunk, id, block or row does
     *     not exist; thrown before anything is computed
     * @throws CommunicatorException if a peer is lost or disagrees
     */
    public Optional<Tensor> forward(int chunk, int[] ids, BatchLayout layout, int[] logitRows) {
        check(chunk, ids, layout, logitRows);
        RunState.Activations a = run.of(layout.tokens());
        Chunk part = chunks.get(chunk);
        Head out = chunk == chunks.size() - 1 ? head : null;
        Tensor logits = out == null ? null : out.logits().reserve(logitRows.length);
        kernels.step(new Step(part, ids, layout, logitRows, a.hidden(), logits, recordable), () -> {
            // in: tokens, or what came from the stage before
            if (embedding != null && chunk == 0) {
                embedding.forward(ids, a.hidden());
            }

            // the layers
            part.forward(a, layout, kernels);

            // out: what goes to the next stage, or logits
            if (out != null) {
                Tensor last = a.normed().rows(0, logitRows.length); // (logitRows, hidden)
                kernels.gatherRows(a.hidden(), logitRows, last);
                kernels.rmsNorm(last, out.norm(), config.normEpsilon(), last);
                out.logits().forward(last);
            }
        });
        return Optional.ofNullable(logits);
    }

    /** A rank of the pipeline group; after the last comes the first, where a virtual pipeline goes round again. */
    private int neighbour(int distance) {
        return Math.floorMod(pipeline.rankInGroup() + distance, pipeline.size());
    }

    private void check(int chunk, int[] ids, BatchLayout layout, int[] logitRows) {
        if (chunk < 0 || chunk >= chunks.size()) {
            throw new IllegalArgumentException("chunk (" + chunk + ") is not in 0.." + (chunks.size() - 1));
        }
        int tokens = layout.tokens();
        if (ids.length != tokens
                || logitRows.length > tokens
                || tokens > run.maxTokens()
                || layout.blockSize() != cacheSize.blockSize()) {
            throw new IllegalArgumentException(
                    "a step of " + ids.length + " ids and " + logitRows.length + " logit rows in a layout of " + tokens
                            + " tokens and blocks of " + layout.blockSize() + "; this stage takes " + run.maxTokens()
                            + " tokens and blocks of " + cacheSize.blockSize());
        }
        requireBelow("token", ids, config.vocabularySize());
        requireBelow("logit row", logitRows, tokens);
        for (int s = 0; s < layout.sequences(); s++) {
            requireBelow("block", layout.blockTables()[s], cacheSize.blocks());
            if (layout.contextLengths()[s] > positions) {
                throw new IllegalArgumentException("sequence " + s + " has a context of " + layout.contextLengths()[s]
                        + " tokens, more than the " + positions + " positions of this stage");
            }
        }
    }

    private static void requireBelow(String what, int[] values, int limit) {
        for (int value : values) {
            if (value < 0 || value >= limit) {
                throw new IllegalArgumentException(what + " (" + value + ") is not in 0.." + (limit - 1));
            }
        }
    }

    /** Gives the device memory back; communicators and kernels stay open. Idempotent. */
    @Override
    public void close() {
        memory.close();
    }
}
