package org.lockstep.model;

import org.lockstep.tensor.WeightType;

/**
 * What a model's files hold.
 *
 * @param type of the matrices, by the first layer's
 * @param bytes of all tensors
 */
public record StoredWeights(WeightType type, long bytes) {}
