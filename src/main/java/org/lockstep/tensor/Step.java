package org.lockstep.tensor;

import org.jspecify.annotations.Nullable;

/**
 * One step of a model, as its kernels are told of it ahead. The arrays are not copied and not to be changed while it runs.
 *
 * @param part of the model that is computed: equal parts with as many tokens launch the same kernels on the same weights
 * @param ids of the tokens, (tokens)
 * @param layout where they stand
 * @param logitRows the tokens after which logits are wanted
 * @param hidden the residual stream, which need not be in the same memory in every step
 * @param logits likewise; null where none leave this part
 * @param recordable whether all of it is queued on the device: by kernels, and exchanges that do not go through the host
 */
@SuppressWarnings("ArrayRecordComponent") // read once per step and never changed: no copies on that way
public record Step(
        Object part,
        int[] ids,
        BatchLayout layout,
        int[] logitRows,
        Tensor hidden,
        @Nullable Tensor logits,
        boolean recordable) {}
