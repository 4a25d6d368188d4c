/**
 * A transformer as maths: its settings ({@link org.lockstep.model.ModelConfig}), its positions
 * ({@link org.lockstep.model.RopeScaling}), its layers, and how all of them divide over tensor and pipeline ranks.
 *
 * <p>{@link org.lockstep.model.PipelineStage} is one rank's part, in one chunk of layers or in several, and the door. Behind
 * it each layer loads its own shard: {@code ShardPlan} says what is whose, {@code Parameters} reads that and no more, and a
 * file loader that knows of parallelism does not exist. {@code forward} reads like the paper; what tensor ranks must tell
 * each other is inside the layers that were cut ({@code RowParallelLinear}, {@code VocabParallelEmbedding},
 * {@code ParallelLmHead}), and what pipeline stages tell each other is {@code exchange}. All mutation is in {@code RunState}
 * and {@code KvCache}. In a layer the keys and values of a whole step are written before its queries read: a scheduler may
 * let a sequence read blocks that another fills in the same step.
 *
 * <p>Truth is Hugging Face transformers: where a file leaves something out, its default holds; where float32 rounding
 * decides, it is rounded as there. Sums are taken in an order that belongs to the model and not to the number of ranks, so
 * that a sharded model gives the bits of a whole one. Never here: Spark, sockets, a backend, scheduling, prompts.
 */
@NullMarked
package org.lockstep.model;

import org.jspecify.annotations.NullMarked;
