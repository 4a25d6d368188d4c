package org.lockstep.tensor;

/**
 * The largest steps that a model's kernels are to be ready for.
 *
 * @param tokens of all sequences together
 * @param sequences that bring them, as many of which want logits
 * @param positions of a sequence
 * @param blockSize of the cache
 * @param heads of queries, as this rank has them
 * @param headSize of each
 */
public record StepLimits(int tokens, int sequences, int positions, int blockSize, int heads, int headSize) {}
