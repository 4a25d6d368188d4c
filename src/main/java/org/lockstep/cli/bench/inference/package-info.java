/**
 * Measuring a model: prompt and output tokens per second, time to the first token and between tokens, memory, and where the
 * time goes, on ranks as threads of this JVM.
 *
 * <p>What is measured is what llama.cpp's and PyTorch's benches measure, so that speeds can be compared: {@code pp512} is one
 * step of a prompt of 512 tokens into an empty context, {@code tg} are steps of one token for each of a batch of sequences,
 * the likeliest token fed back. They are steps of {@link org.lockstep.model.PipelineStage}: no scheduler, no sampler.
 * {@code generate} is whole requests through {@link org.lockstep.inference.Generator}. Everything runs until Java has compiled
 * it and is then repeated; a repetition's time is that of the slowest rank.
 *
 * <p><b>Belongs here:</b> plans of measurements, the loops, random weights, tables and JSON lines. <b>Never here:</b> options
 * and their words ({@code cli}), kernels, anything that a rank of a real run could not do.
 *
 * <p>A {@link org.lockstep.cli.bench.inference.SpeedPlan} for a {@link org.lockstep.cli.bench.inference.BenchModel} is given to
 * {@link org.lockstep.cli.bench.inference.ThreadReplicas}; each rank runs {@code StageBench} and {@code EngineBench} over it
 * by a {@code GangClock}, and rank 0 reports each {@link org.lockstep.cli.bench.inference.Speed}.
 */
@NullMarked
package org.lockstep.cli.bench.inference;

import org.jspecify.annotations.NullMarked;
