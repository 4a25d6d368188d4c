/**
 * What memory and maths are, on any device: {@link org.lockstep.tensor.DataType}, {@link org.lockstep.tensor.Buffer},
 * {@link org.lockstep.tensor.Tensor} and, as an interface, the {@link org.lockstep.tensor.Kernels} of a transformer.
 *
 * <p>Host memory lives here too ({@link org.lockstep.tensor.HostBuffer}): every device copies from it and to it, and a
 * program that only wants ranks and an all-reduce needs nothing else. Never here: communication, ranks, CUDA types.
 * "dim" is a dimension of a tensor; "axis" belongs to the grid of ranks.
 */
@NullMarked
package org.lockstep.tensor;

import org.jspecify.annotations.NullMarked;
