package org.lockstep.model;

import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.Checkpoint;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Communicators;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.Tensor;
import org.lockstep.tensor.Weight;
import org.lockstep.topology.LayerRange;
import org.lockstep.topology.ParallelState;

/**
 * One rank's part of a model: some of its layers, a share of each.
 *
 * <p>All ranks of a replica make the same {@link #forward} calls in the same order. The tensor ranks of a stage work on the
 * same tokens in step; each hands its hidden states to its own neighbour in the next stage. Logits have the same bits for
 * every pipeline size and batch, and for every tensor size that divides the model's segments (the largest power of two, up
 * to 8, in its heads and in its intermediate size).
 *
 * <p>Confined to its rank's thread. After a {@link CommunicatorException} only {@link #close} may be called.
 */
public final class PipelineStage implements AutoCloseable {
    static final String FINAL_NORM = "model.norm.weight";

    private final ModelConfig config;
    private final LayerRange range;
    private final Kernels kernels;
    private final Communicator pipeline;
    private final StageMemory memory;
    private final long weightBytes;
    private final int positions;
    private final @Nullable VocabParallelEmbedding embedding; // on the first stage
    private final List<DecoderLayer> layers;
    private final @Nullable Head head; // on the last stage
    private final KvCache cache;
    private final RunState run;

    /** What follows the last layer. */
    private record Head(Tensor norm, ParallelLmHead logits) {}

    private PipelineStage(
            ModelConfig config,
            Checkpoint checkpoint,
            ParallelState state,
            Communicators communicators,
            Kernels kernels,
            StageMemory memory,
            CacheSize cacheSize,
            int maxTokens) {
        this.config = config;
        this.kernels = kernels;
        this.memory = memory;
        this.range = state.layers(config.layers());
        this.pipeline = communicators.pipeline();
        this.positions = (int) Math.min(config.maxPositions(), cacheSize.tokens());
        Communicator tensor = communicators.tensor();
        ShardPlan plan = ShardPlan.of(config, tensor.rankInGroup(), tensor.size());
        Parameters parameters = new Parameters(checkpoint, memory, config.weightType());
        RotaryTable rotary = RotaryTable.of(config, positions, memory);
        long before = memory.bytes();
        this.embedding = state.isPipelineFirstStage()
                ? VocabParallelEmbedding.load(parameters, kernels, tensor, config, plan)
                : null;
        this.layers = range.stream()
                .mapToObj(layer -> DecoderLayer.load(parameters, kernels, tensor, rotary, layer, config, plan))
                .toList();
        Weight table = state.isPipelineLastStage()
                ? embedding != null && config.tiedEmbeddings()
                        ? embedding.table()
                        : ParallelLmHead.loadTable(parameters, config, plan)
                : null;
        Tensor norm = table == null ? null : parameters.vector(FINAL_NORM, config.hiddenSize());
        this.weightBytes = memory.bytes() - before;
        this.head = table == null || norm == null
                ? null
                : new Head(norm, new ParallelLmHead(kernels, tensor, memory, table, config.vocabularySize()));
        this.cache = KvCache.allocate(memory, cacheSize, range.size(), plan.keyValueHeads(), config.headSize());
        this.run = RunState.allocate(memory, config, plan, maxTokens);
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
            Checkpoint checkpoint,
            ParallelState state,
            Communicators communicators,
            Kernels kernels,
            CacheSize cache,
            int maxTokens) {
        config.checkSplit(state.tensorModelParallelWorldSize(), state.pipelineModelParallelWorldSize());
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

    /** Whether tokens enter here. */
    public boolean isFirst() {
        return embedding != null;
    }

    /** Whether logits leave here. */
    public boolean isLast() {
        return head != null;
    }

    /** The layers held here. */
    public LayerRange layers() {
        return range;
    }

    /** Bytes of this rank's weights on its device, norms and biases as the f32 they are widened to. */
    public long weightBytes() {
        return weightBytes;
    }

    /**
     * Computes one step: the batch's tokens through this stage's layers.
     *
     * @param ids the tokens of the step, the same on all ranks; (tokens)
     * @param layout where they stand; its blocks are of this stage's cache
     * @param logitRows the tokens of the step after which logits are wanted, the same on all ranks; may be empty
     * @return on the last stage logits (logitRows, vocabulary), f32, equal on its tensor ranks and valid until the next
     *     call; elsewhere empty
     * @throws IllegalArgumentException if the step is larger than this stage was made for, or an id, block or row does not
     *     exist; thrown before anything is computed or sent
     * @throws CommunicatorException if a peer is lost or disagrees
     */
    public Optional<Tensor> forward(int[] ids, BatchLayout layout, int[] logitRows) {
        check(ids, layout, logitRows);
        RunState.Activations a = run.of(layout.tokens());

        // in: tokens, or the stage before
        if (embedding != null) {
            embedding.forward(ids, a.hidden());
        } else {
            pipeline.receive(a.hidden().buffer(), neighbour(-1));
        }

        // the layers
        for (int i = 0; i < layers.size(); i++) {
            layers.get(i).forward(a, layout, cache.layers().get(i));
        }

        // out: the next stage, or logits
        if (head == null) {
            pipeline.send(a.hidden().buffer(), neighbour(1));
            return Optional.empty();
        }
        Tensor last = a.normed().rows(0, logitRows.length); // (logitRows, hidden)
        kernels.gatherRows(a.hidden(), logitRows, last);
        kernels.rmsNorm(last, head.norm(), config.normEpsilon(), last);
        return Optional.of(head.logits().forward(last));
    }

    /** A rank of the pipeline group; after the last comes the first, where a virtual pipeline goes round again. */
    private int neighbour(int distance) {
        return Math.floorMod(pipeline.rankInGroup() + distance, pipeline.size());
    }

    private void check(int[] ids, BatchLayout layout, int[] logitRows) {
        int tokens = layout.tokens();
        if (ids.length != tokens
                || logitRows.length > tokens
                || tokens > run.maxTokens()
                || layout.blockSize() != cache.size().blockSize()) {
            throw new IllegalArgumentException(
                    "a step of " + ids.length + " ids and " + logitRows.length + " logit rows in a layout of " + tokens
                            + " tokens and blocks of " + layout.blockSize() + "; this stage takes " + run.maxTokens()
                            + " tokens and blocks of " + cache.size().blockSize());
        }
        requireBelow("token", ids, config.vocabularySize());
        requireBelow("logit row", logitRows, tokens);
        for (int s = 0; s < layout.sequences(); s++) {
            requireBelow("block", layout.blockTables()[s], cache.size().blocks());
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
