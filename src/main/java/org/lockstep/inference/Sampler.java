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
 * A token for each row of logits. Rows whose logits stay as they are: by the device, all at once and without a copy of them, if they
 * are greedy, or if it draws as well ({@link Kernels#sample}), then greedy ones too, for each call is waited for. The others: by a {@link RowSampler} for each thread that the kernels
 * have on the host, after a copy of theirs. Confined to its rank's thread.
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
    private final SequenceDraws draws = new SequenceDraws();
    private int[] onHost = {}; // rows
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
        int count = sequences.size();
        onHost = onHost.length < count ? new int[count] : onHost;
        draws.begin(sequences);
        int left = 0;
        int greedy = 0;
        for (int row = 0; row < count; row++) {
            if (RowSampler.changesLogits(sequences.get(row))) {
                onHost[left++] = row;
            } else {
                draws.add(row);
                greedy += isGreedy(sequences, row) ? 1 : 0;
            }
        }
        if (draws.count() == greedy || !kernels.sample(logits, draws, tokens)) {
            if (greedy > 0) {
                kernels.argmax(logits, tokens);
            }
            for (int draw = 0; draw < draws.count(); draw++) {
                if (!isGreedy(sequences, draws.row(draw))) {
                    onHost[left++] = draws.row(draw);
                }
            }
        }
        if (left > 0) {
            sampleOnHost(logits.buffer(), left, sequences, tokens);
        }
    }

    private static boolean isGreedy(List<Sequence> sequences, int row) {
        return sequences.get(row).params().isGreedy();
    }

    private void sampleOnHost(Buffer logits, int count, List<Sequence> sequences, int[] tokens) {
        boolean isHere = logits instanceof HostBuffer;
        HostBuffer here = isHere ? (HostBuffer) logits : copied(logits, count);
        kernels.onHost(count, (part, thread) -> {
            int row = onHost[part];
            int from = here.offset() + (isHere ? row : part) * vocabularySize;
            tokens[row] = sampler(thread).sample(here.floats(), from, sequences.get(row));
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

    /** The logits of the first rows of {@code onHost}, side by side; rows that are neighbours by one copy, for each is waited for. */
    private HostBuffer copied(Buffer logits, int count) {
        long length = (long) count * vocabularySize;
        if (copied.length() < length) {
            copied = HostBuffer.allocate(DataType.F32, length);
        }
        for (int i = 0, run; i < count; i += run) {
            run = 1;
            while (i + run < count && onHost[i + run] == onHost[i] + run) {
                run++;
            }
            long some = (long) run * vocabularySize;
            logits.slice((long) onHost[i] * vocabularySize, some).copyTo(copied.slice((long) i * vocabularySize, some));
        }
        return copied;
    }
}
