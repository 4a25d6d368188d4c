package org.lockstep.inference;

/**
 * What one step did, and what was decided since the step before it. Sums over steps are those of the run.
 *
 * @param sequences computed in the step
 * @param promptTokens tokens of prompts planned to be computed, those computed again after a preemption included
 * @param cachedTokens tokens of sequences that joined, found in the cache instead of computed
 * @param outputTokens put out by the step
 * @param preemptions sequences put off because blocks ran out
 */
public record StepStats(int sequences, int promptTokens, int cachedTokens, int outputTokens, int preemptions) {}
