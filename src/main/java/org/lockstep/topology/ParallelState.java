package org.lockstep.topology;

import java.io.Serializable;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * One rank's view of a {@link ProcessGrid}: its groups, its place in them, its neighbours.
 *
 * <p>The functions are those of {@code parallel_state.py}, by the rule of the package. Differences, all on purpose:
 *
 * <ul>
 *   <li><b>Life cycle.</b> A value is initialised or it does not exist, and it holds nothing that could be destroyed:
 *       {@code model_parallel_is_initialized} and {@code destroy_model_parallel} have no counterpart here. Connections
 *       are opened and closed by communicators.
 *   <li><b>Setters</b> return another, consistent state. The original's left the rank lists as they were, so that the
 *       next rank could run off the list; its split rank setter wrote a variable that nobody read.
 *   <li><b>Virtual pipeline</b> is allowed from two stages up (the original wanted three).
 *   <li><b>Split rank</b> must be a stage of the pipeline; {@link #isPipelineStageAtSplit()} is false where nothing splits.
 *   <li><b>Source ranks</b> come from the groups, not from arithmetic that holds in one order only.
 * </ul>
 *
 * <p>Immutable and serializable: it travels in a task's closure, and any number of ranks may share a JVM.
 *
 * @param grid the plan of the whole world
 * @param rank the global rank
 * @param virtualRank the chunk of layers at hand, from 0; 0 where there is no virtual pipeline
 */
public record ParallelState(ProcessGrid grid, int rank, int virtualRank) implements Serializable {

    public ParallelState {
        grid.dense().coordinate(rank, Axis.TP); // refuses a rank outside the grid
        requireChunk(virtualRank, grid.sizes().chunks());
    }

    /**
     * The state of a rank in a world in the default order, in one call as in the original.
     *
     * @throws IllegalArgumentException if the sizes do not fill the world or the rank is not in it
     */
    public static ParallelState initializeModelParallel(int worldSize, int rank, ParallelSizes sizes) {
        return ProcessGrid.of(worldSize, sizes).state(rank);
    }

    // ---- groups ----

    /** The group of a kind that this rank is in; empty only where it holds no embedding. */
    public Optional<ProcessGroup> group(GroupKind kind) {
        return grid.group(kind, rank);
    }

    /** The group of this rank in which exactly these axes of the dense view vary. */
    public ProcessGroup group(Set<Axis> axes) {
        return grid.dense().group(axes, rank);
    }

    /** Where this rank sits along an axis, from 0. */
    public int coordinate(Axis axis) {
        return grid.coordinate(rank, axis);
    }

    /** The number of ranks of the plan. */
    public int worldSize() {
        return grid.worldSize();
    }

    /** The group of all ranks. */
    public ProcessGroup worldGroup() {
        return own(GroupKind.WORLD);
    }

    /** The replica: every tensor rank of every pipeline stage that together hold the model once. */
    public ProcessGroup modelParallelGroup() {
        return own(GroupKind.MODEL);
    }

    /** The ranks that share each layer with this one. */
    public ProcessGroup tensorModelParallelGroup() {
        return own(GroupKind.TENSOR);
    }

    /** The stages of this rank's pipeline, first to last. */
    public ProcessGroup pipelineModelParallelGroup() {
        return own(GroupKind.PIPELINE);
    }

    /** The ranks that hold the same weights as this one. */
    public ProcessGroup dataParallelGroup() {
        return own(GroupKind.DATA);
    }

    /** The ranks that share each sequence with this one. */
    public ProcessGroup contextParallelGroup() {
        return own(GroupKind.CONTEXT);
    }

    /** The ranks of this pipeline that hold the embedding; empty if this rank does not. */
    public Optional<ProcessGroup> embeddingGroup() {
        return group(GroupKind.EMBEDDING);
    }

    /** The ranks of this pipeline that hold the position embedding; empty if this rank does not. */
    public Optional<ProcessGroup> positionEmbeddingGroup() {
        return group(GroupKind.POSITION_EMBEDDING);
    }

    private ProcessGroup own(GroupKind kind) {
        return group(kind).orElseThrow();
    }

    // ---- sizes, ranks in group, sources ----

    /** The tensor parallel size. */
    public int tensorModelParallelWorldSize() {
        return grid.sizes().tp();
    }

    /** The number of pipeline stages. */
    public int pipelineModelParallelWorldSize() {
        return grid.sizes().pp();
    }

    /** The data parallel size. */
    public int dataParallelWorldSize() {
        return grid.sizes().dp();
    }

    /** The context parallel size. */
    public int contextParallelWorldSize() {
        return grid.sizes().cp();
    }

    /** This rank's position in its tensor group. */
    public int tensorModelParallelRank() {
        return coordinate(Axis.TP);
    }

    /** This rank's pipeline stage, from 0. */
    public int pipelineModelParallelRank() {
        return coordinate(Axis.PP);
    }

    /** This rank's position in its data parallel group. */
    public int dataParallelRank() {
        return coordinate(Axis.DP);
    }

    /** This rank's position in its context parallel group. */
    public int contextParallelRank() {
        return coordinate(Axis.CP);
    }

    /** The rank from which this tensor group receives broadcasts: its first. */
    public int tensorModelParallelSrcRank() {
        return tensorModelParallelGroup().first();
    }

    /** The rank from which this data parallel group receives broadcasts: its first. */
    public int dataParallelSrcRank() {
        return dataParallelGroup().first();
    }

    /** The rank that decides for this replica: the first of the model parallel group. */
    public int modelParallelSrcRank() {
        return modelParallelGroup().first();
    }

    // ---- the pipeline ----

    /** The rank of the first stage of this pipeline. */
    public int pipelineModelParallelFirstRank() {
        return pipelineModelParallelGroup().first();
    }

    /** The rank of the last stage of this pipeline. */
    public int pipelineModelParallelLastRank() {
        return pipelineModelParallelGroup().last();
    }

    /** The rank of the next stage; after the last stage comes the first. */
    public int pipelineModelParallelNextRank() {
        return pipelineModelParallelGroup().next(rank);
    }

    /** The rank of the previous stage; before the first stage comes the last. */
    public int pipelineModelParallelPrevRank() {
        return pipelineModelParallelGroup().previous(rank);
    }

    /** The rank that takes this stage's output; empty at the last stage. */
    public OptionalInt nextPipelineStageRank() {
        return isPipelineLastStage(true) ? OptionalInt.empty() : OptionalInt.of(pipelineModelParallelNextRank());
    }

    /** The rank that gives this stage its input; empty at the first stage. */
    public OptionalInt previousPipelineStageRank() {
        return isPipelineFirstStage(true) ? OptionalInt.empty() : OptionalInt.of(pipelineModelParallelPrevRank());
    }

    /** Whether the model begins here: first stage and, in a virtual pipeline, first chunk. */
    public boolean isPipelineFirstStage() {
        return isPipelineFirstStage(virtualRank);
    }

    /** Whether this is the first stage, whatever the chunk if {@code ignoreVirtual}. */
    public boolean isPipelineFirstStage(boolean ignoreVirtual) {
        return isPipelineFirstStage(ignoreVirtual ? 0 : virtualRank);
    }

    /** Whether the model begins with this chunk of this stage. */
    public boolean isPipelineFirstStage(int virtualRank) {
        return requireChunk(virtualRank, chunks()) == 0 && pipelineModelParallelRank() == 0;
    }

    /** Whether the model ends here: last stage and, in a virtual pipeline, last chunk. */
    public boolean isPipelineLastStage() {
        return isPipelineLastStage(virtualRank);
    }

    /** Whether this is the last stage, whatever the chunk if {@code ignoreVirtual}. */
    public boolean isPipelineLastStage(boolean ignoreVirtual) {
        return isPipelineLastStage(ignoreVirtual ? chunks() - 1 : virtualRank);
    }

    /** Whether the model ends with this chunk of this stage. */
    public boolean isPipelineLastStage(int virtualRank) {
        return requireChunk(virtualRank, chunks()) == chunks() - 1
                && pipelineModelParallelRank() == pipelineModelParallelWorldSize() - 1;
    }

    /** The chunk of layers at hand; empty without a virtual pipeline. */
    public OptionalInt virtualPipelineModelParallelRank() {
        return grid.sizes().virtualPipeline() == null ? OptionalInt.empty() : OptionalInt.of(virtualRank);
    }

    /** The number of chunks on each stage; empty without a virtual pipeline. */
    public OptionalInt virtualPipelineModelParallelWorldSize() {
        return optional(grid.sizes().virtualPipeline());
    }

    /**
     * The layers of this stage and chunk, by the rule of {@link LayerRange#split}.
     *
     * @param layers the layers of the whole model
     * @throws IllegalArgumentException if there are fewer layers than stages and chunks
     */
    public LayerRange layers(int layers) {
        return LayerRange.of(
                layers, pipelineModelParallelWorldSize(), pipelineModelParallelRank(), chunks(), virtualRank);
    }

    private int chunks() {
        return grid.sizes().chunks();
    }

    private static int requireChunk(int virtualRank, int chunks) {
        if (virtualRank < 0 || virtualRank >= chunks) {
            throw new IllegalArgumentException(
                    "virtual pipeline rank (" + virtualRank + ") must be in 0.." + (chunks - 1));
        }
        return virtualRank;
    }

    // ---- embedding and split ----

    /** Whether this rank holds the embedding with the chunk at hand: an end of the model, or the split rank. */
    public boolean isRankInEmbeddingGroup() {
        return isRankInEmbeddingGroup(virtualRank);
    }

    /** Whether this rank holds the embedding, with any chunk if {@code ignoreVirtual}. */
    public boolean isRankInEmbeddingGroup(boolean ignoreVirtual) {
        return ignoreVirtual ? embeddingGroup().isPresent() : isRankInEmbeddingGroup(virtualRank);
    }

    /** Whether this rank holds the embedding with this chunk. */
    public boolean isRankInEmbeddingGroup(int virtualRank) {
        return embeddingGroup()
                .filter(group -> rank == group.first()
                        ? isPipelineFirstStage(virtualRank)
                        : rank != group.last() || isPipelineLastStage(virtualRank))
                .isPresent();
    }

    /** Whether this rank holds the position embedding. */
    public boolean isRankInPositionEmbeddingGroup() {
        return positionEmbeddingGroup().isPresent();
    }

    /** The stage at which the decoder begins; empty without a split. */
    public OptionalInt pipelineModelParallelSplitRank() {
        return optional(grid.sizes().splitRank());
    }

    /** Whether this stage runs encoder layers; so does every stage where nothing splits. */
    public boolean isPipelineStageBeforeSplit() {
        return isPipelineStageBeforeSplit(pipelineModelParallelRank());
    }

    /** Whether a stage runs encoder layers; so does every stage where nothing splits. */
    public boolean isPipelineStageBeforeSplit(int stage) {
        return !splits() || stage < pipelineModelParallelSplitRank().orElseThrow();
    }

    /** Whether this stage runs decoder layers; so does every stage where nothing splits. */
    public boolean isPipelineStageAfterSplit() {
        return isPipelineStageAfterSplit(pipelineModelParallelRank());
    }

    /** Whether a stage runs decoder layers; so does every stage where nothing splits. */
    public boolean isPipelineStageAfterSplit(int stage) {
        return !splits() || stage >= pipelineModelParallelSplitRank().orElseThrow();
    }

    /** Whether this stage runs the last encoder layers and the next one the first decoder layers. */
    public boolean isPipelineStageAtSplit() {
        return splits() && isPipelineStageBeforeSplit() && isPipelineStageAfterSplit(pipelineModelParallelRank() + 1);
    }

    private boolean splits() {
        return pipelineModelParallelWorldSize() > 1 && grid.sizes().splitRank() != null;
    }

    // ---- other states ----

    /** The state of another rank of this plan: the one with this tensor rank and otherwise the same coordinates. */
    public ParallelState withTensorModelParallelRank(int tensorRank) {
        return new ParallelState(grid, grid.dense().neighbour(rank, Axis.TP, tensorRank), virtualRank);
    }

    /** The state of another rank of this plan: the one at this stage of this rank's pipeline. */
    public ParallelState withPipelineModelParallelRank(int stage) {
        return new ParallelState(grid, grid.dense().neighbour(rank, Axis.PP, stage), virtualRank);
    }

    /** This rank in the same world divided by another tensor size; data parallelism takes what is left. */
    public ParallelState withTensorModelParallelWorldSize(int size) {
        return withSizes(grid.sizes().withTensor(size).withData(ParallelSizes.INFER));
    }

    /** This rank in the same world divided by another pipeline size; data parallelism takes what is left. */
    public ParallelState withPipelineModelParallelWorldSize(int size) {
        return withSizes(grid.sizes().withPipeline(size).withData(ParallelSizes.INFER));
    }

    /** This rank in the same plan with the decoder beginning at this stage. */
    public ParallelState withPipelineModelParallelSplitRank(int stage) {
        return withSizes(grid.sizes().withSplitRank(stage));
    }

    /**
     * This rank with another chunk of layers at hand.
     *
     * @throws IllegalArgumentException if there is no such chunk
     */
    public ParallelState withVirtualPipelineModelParallelRank(int virtualRank) {
        return new ParallelState(grid, rank, virtualRank);
    }

    private ParallelState withSizes(ParallelSizes sizes) {
        ParallelSizes inferred = sizes.withExpertData(ParallelSizes.INFER);
        return new ParallelState(
                new ProcessGrid(grid.worldSize(), inferred, grid.order(), grid.rankOffset()), rank, virtualRank);
    }

    private static OptionalInt optional(@Nullable Integer value) {
        return value == null ? OptionalInt.empty() : OptionalInt.of(value);
    }

    /** The rank and its place, such as {@code rank 5/16 tp 1/2 dp 0/2 pp 1/4}. */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder("rank " + rank + "/" + worldSize());
        for (Axis axis : Axis.values()) {
            int size = grid.sizes().size(axis);
            if (size > 1) {
                text.append(" ")
                        .append(axis)
                        .append(" ")
                        .append(coordinate(axis))
                        .append("/")
                        .append(size);
            }
        }
        return virtualPipelineModelParallelWorldSize().isEmpty()
                ? text.toString()
                : text.append(" chunk ")
                        .append(virtualRank)
                        .append("/")
                        .append(chunks())
                        .toString();
    }
}
