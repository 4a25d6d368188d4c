/**
 * Pure arithmetic of ranks: which rank sits where in the grid, and who shares a group with whom.
 *
 * <p><b>Belongs here:</b> sizes of the axes, their order, process groups (plans: ordered sets of ranks), one rank's view
 * of them, the layers of a pipeline stage, ranks for the partitions of a barrier stage. <b>Never here:</b> Spark, CUDA,
 * input and output, threads, logging, clocks, mutable statics. A live group is a communicator and lives elsewhere.
 *
 * <pre>{@code
 * ProcessGrid grid = ProcessGrid.of(16, ParallelSizes.tensor(2).withPipeline(4));
 * grid.groups(GroupKind.PIPELINE);                 // pp[0]={0,4,8,12} pp[1]={1,5,9,13} ...
 * ParallelState state = grid.state(5);
 * state.pipelineModelParallelNextRank();           // 9
 * }</pre>
 *
 * <p><b>One rule makes every group.</b> Axes are read from left to right; the leftmost has stride 1, each further one the
 * product of the sizes to its left. A group varies some axes and holds the others still (Megatron-Core's rank generator,
 * {@link org.lockstep.topology.GridView}).
 *
 * <p><b>Names.</b> {@link org.lockstep.topology.ParallelState} has every function of Megatron's and vLLM's
 * {@code parallel_state.py} of 2023: drop {@code get_}, camelCase the rest; {@code set_x} becomes {@code withX} and
 * returns another value. {@code get_pipeline_model_parallel_next_rank()} is {@code pipelineModelParallelNextRank()}.
 *
 * <p>Every type is immutable and therefore safe for any number of threads. A number that cannot be is an
 * {@link IllegalArgumentException} that spells the equation out.
 */
@NullMarked
package org.lockstep.topology;

import org.jspecify.annotations.NullMarked;
