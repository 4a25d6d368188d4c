package org.lockstep.inference;

import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.simd.Arithmetic;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.Tensor;

/**
 * A token for each row of logits: what is only greedy is done by the device, all rows at once and without a copy of them; the
 * others by a {@link RowSampler} for each thread that the kernels have on the host. Confined to its rank's thread.
 */
final class Sampler {
    /**
     * In a token's place where there is none: a logit is NaN or plus infinity, or becomes so by a penalty, or all
     * that may be chosen are minus infinity.
     */
    static final int NONE = -1;

    private final int vocabularySize;
    private final List<Integer> endTokens;
    private final Kernels kernels;
    private final Arithmetic arithmetic = Arithmetic.create();
    private final @Nullable RowSampler[] byThread; // each made and used by its thread alone
    private HostBuffer copied = HostBuffer.allocate(DataType.F32, 0);

    /**
     * A sampler for one vocabulary.
     *
     * @param vocabularySize logits of a row
     * @param endTokens the model's own
     * @param kernels stay the caller's
     */
    Sampler(int vocabularySize, List<Integer> endTokens, Kernels kernels) {
        this.vocabularySize = vocabularySize;
        this.endTokens = List.copyOf(endTokens);
        this.kernels = kernels;
        this.byThread = new @Nullable RowSampler[kernels.hostThreads()];
    }

    /**
     * Chooses a token for each row of logits.
     *
     * @param logits (rows, vocabularySize), f32
     * @param sequences row by row
     * @param tokens where a token for each goes, or {@link #NONE}
     */
    void sample(Tensor logits, List<Sequence> sequences, int[] tokens) {
        int greedy = 0;
        for (int row = 0; row < sequences.size(); row++) {
            greedy += RowSampler.isOnlyGreedy(sequences.get(row)) ? 1 : 0;
        }
        if (greedy > 0) {
            kernels.argmax(logits, tokens);
        }
        if (greedy == sequences.size()) {
            return;
        }
        HostBuffer rows = host(logits.buffer());
        kernels.onHost(sequences.size(), (row, thread) -> {
            Sequence sequence = sequences.get(row);
            if (!RowSampler.isOnlyGreedy(sequence)) {
                tokens[row] = sampler(thread).sample(rows.floats(), rows.offset() + row * vocabularySize, sequence);
            }
        });
    }

    private RowSampler sampler(int thread) {
        RowSampler known = byThread[thread];
        if (known == null) {
            known = new RowSampler(vocabularySize, endTokens, arithmetic);
            byThread[thread] = known;
        }
        return known;
    }

    /** The logits in host memory, which is made where there is too little of it. */
    private HostBuffer host(Buffer logits) {
        if (logits instanceof HostBuffer here) {
            return here;
        }
        if (copied.length() < logits.length()) {
            copied = HostBuffer.allocate(DataType.F32, logits.length());
        }
        HostBuffer copy = copied.slice(0, logits.length());
        logits.copyTo(copy);
        return copy;
    }
}
