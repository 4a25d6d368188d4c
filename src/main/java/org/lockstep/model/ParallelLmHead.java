package org.lockstep.model;

import java.util.stream.Stream;
import org.lockstep.collective.Communicator;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.Tensor;
import org.lockstep.tensor.Weight;

/**
 * The head cut by vocabulary: each rank computes the logits of its tokens, an all-gather joins them and the padding is cut
 * off.
 *
 * <p>Owns its output, which grows to the largest number of rows seen and is overwritten by the next call. Confined to the
 * rank's thread.
 */
final class ParallelLmHead {
    static final String NAME = "lm_head.weight";

    private static final int[] FIRST = {0};

    private final Kernels kernels;
    private final Communicator tensor;
    private final StageMemory memory;
    private final Weight weight; // (share of the vocabulary, hidden)
    private final int vocabulary;
    private Room room;

    /**
     * Room for the logits of some rows; on a single rank there is only the last.
     *
     * @param local (rows, share) of this rank
     * @param gathered (ranks · rows, share), rank by rank
     * @param padded (rows · ranks, share), row by row
     * @param logits (rows, vocabulary)
     */
    private record Room(int rows, Tensor local, Tensor gathered, Tensor padded, Tensor logits) {
        static Room allocate(StageMemory memory, int rows, int ranks, long share, int vocabulary) {
            Tensor logits = memory.zeros(DataType.F32, rows, vocabulary);
            if (ranks == 1) {
                return new Room(rows, logits, logits, logits, logits);
            }
            return new Room(
                    rows,
                    memory.zeros(DataType.F32, rows, share),
                    memory.zeros(DataType.F32, (long) ranks * rows, share),
                    memory.zeros(DataType.F32, (long) rows * ranks, share),
                    logits);
        }

        void release(StageMemory memory) {
            Stream.of(local, gathered, padded, logits).forEach(memory::release);
        }
    }

    /**
     * A head over this rank's share of the vocabulary.
     *
     * @param weight (share, hidden), from {@link #loadTable} or an embedding that it is tied to
     * @param vocabulary tokens without padding
     */
    ParallelLmHead(Kernels kernels, Communicator tensor, StageMemory memory, Weight weight, int vocabulary) {
        this.kernels = kernels;
        this.tensor = tensor;
        this.memory = memory;
        this.weight = weight;
        this.vocabulary = vocabulary;
        this.room = Room.allocate(memory, 1, tensor.size(), weight.rows(), vocabulary);
    }

    /** Loads this rank's share of the weight; a tied model may store it under the name of the embedding. */
    static Weight loadTable(Parameters parameters, ModelConfig config, ShardPlan plan) {
        boolean underEmbedding = config.tiedEmbeddings() && parameters.contains(VocabParallelEmbedding.NAME);
        return parameters.rows(
                underEmbedding ? VocabParallelEmbedding.NAME : NAME,
                config.vocabularySize(),
                config.hiddenSize(),
                plan.firstToken(),
                plan.vocabularyRows());
    }

    /**
     * The logits of each row.
     *
     * @param x (rows, hidden), equal on all ranks
     * @return (rows, vocabulary), f32, equal on all ranks; valid until the next call
     */
    Tensor forward(Tensor x) {
        int rows = (int) x.shape().dim(0);
        if (rows > room.rows()) {
            room.release(memory);
            room = Room.allocate(memory, rows, tensor.size(), weight.rows(), vocabulary);
        }
        Tensor logits = room.logits().rows(0, rows);
        if (rows == 0) {
            return logits;
        }
        if (tensor.size() == 1) {
            kernels.linear(x, weight, null, logits);
            return logits;
        }
        Tensor local = room.local().rows(0, rows); // (rows, share)
        Tensor gathered = room.gathered().rows(0, (long) tensor.size() * rows); // (ranks · rows, share)
        kernels.linear(x, weight, null, local);
        tensor.allGather(local.buffer(), gathered.buffer());
        joinRows(gathered, rows, logits);
        return logits;
    }

    /** From (ranks, rows, share) to (rows, vocabulary): the shares of a row side by side, the padding cut off. */
    private void joinRows(Tensor gathered, int rows, Tensor logits) {
        int ranks = tensor.size();
        long share = weight.rows();
        long width = ranks * share;
        int[] order = new int[rows * ranks];
        for (int i = 0; i < order.length; i++) {
            order[i] = i % ranks * rows + i / ranks;
        }
        if (width == vocabulary) {
            kernels.gatherRows(gathered, order, Tensor.of(logits.buffer(), order.length, share));
            return;
        }
        Tensor padded = room.padded().rows(0, order.length); // (rows · ranks, share)
        kernels.gatherRows(gathered, order, padded);
        for (int row = 0; row < rows; row++) {
            Tensor cut = Tensor.of(padded.buffer().slice(row * width, vocabulary), 1, vocabulary);
            kernels.gatherRows(cut, FIRST, logits.rows(row, 1));
        }
    }
}
