package org.lockstep.tensor;

/**
 * How {@link Kernels#sample} draws an index of each of some rows of logits. A weight is {@code exp((logit - largest) / temperature)},
 * 1 for the largest logit. In this order (vLLM's):
 *
 * <ol>
 *   <li>min-p: weights below it become 0
 *   <li>top-k: those of logits below the k-th largest become 0
 *   <li>top-p: the heaviest that together reach this share of the sum stay, of equal ones those of the lowest indices; all others
 *       become 0
 *   <li>the first index at which the weights up to it are more than {@code uniform} times their sum
 * </ol>
 *
 * <p>A draw is named by its number, from 0 on. A view: what it shows is not to change during a call.
 */
public interface Draws {
    /** How many there are. */
    int count();

    /** The row that one is of; each of another. */
    int row(int draw);

    /** 1 / temperature, above 0. */
    float inverseTemperature(int draw);

    /** 0 to 1; 0 for none. */
    double minP(int draw);

    /** At least 0; 0 for none. */
    int topK(int draw);

    /** Above 0, at most 1; 1 for none. */
    double topP(int draw);

    /** A random number in [0, 1). */
    double uniform(int draw);
}
