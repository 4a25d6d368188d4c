package org.lockstep.model;

import java.util.ArrayList;
import java.util.List;
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
    private View current;

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

        /** The part of it for {@code rows} rows. */
        View view(int rows, int ranks, int vocabulary) {
            Tensor some = logits.rows(0, rows);
            if (ranks == 1) {
                return new View(rows, some, some, some, new int[0], List.of(), List.of(), some);
            }
            int[] order = new int[rows * ranks];
            for (int i = 0; i < order.length; i++) {
                order[i] = i % ranks * rows + i / ranks;
            }
            long share = local.shape().dim(1);
            long width = ranks * share;
            boolean cut = width != vocabulary;
            Tensor joined = cut ? padded.rows(0, order.length) : Tensor.of(some.buffer(), order.length, share);
            List<Tensor> cuts = new ArrayList<>();
            List<Tensor> cutRows = new ArrayList<>();
            for (int row = 0; cut && row < rows; row++) {
                cuts.add(Tensor.of(joined.buffer().slice(row * width, vocabulary), 1, vocabulary));
                cutRows.add(some.rows(row, 1));
            }
            return new View(
                    rows,
                    local.rows(0, rows),
                    gathered.rows(0, order.length),
                    joined,
                    order,
                    List.copyOf(cuts),
                    List.copyOf(cutRows),
                    some);
        }

        void release(StageMemory memory) {
            Stream.of(local, gathered, padded, logits).forEach(memory::release);
        }
    }

    /**
     * The room for some rows, kept until another number comes, so that decoding allocates none.
     *
     * @param joined (rows · ranks, share), row by row: the logits where nothing is padded
     * @param order of {@code gathered}'s rows there
     * @param cuts each row of {@code joined} without its padding; none where there is none
     * @param cutRows where they go
     */
    @SuppressWarnings("ArrayRecordComponent") // read by a kernel and never changed
    private record View(
            int rows,
            Tensor local,
            Tensor gathered,
            Tensor joined,
            int[] order,
            List<Tensor> cuts,
            List<Tensor> cutRows,
            Tensor logits) {}

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
        this.current = room.view(1, tensor.size(), vocabulary);
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

    /** Where the logits of so many rows will be: (rows, vocabulary), f32; valid until the next call. */
    Tensor reserve(int rows) {
        if (rows > room.rows()) {
            room.release(memory);
            room = Room.allocate(memory, rows, tensor.size(), weight.rows(), vocabulary);
            current = room.view(rows, tensor.size(), vocabulary);
        } else if (rows != current.rows()) {
            current = room.view(rows, tensor.size(), vocabulary);
        }
        return current.logits();
    }

    /**
     * The logits of each row.
     *
     * @param x (rows, hidden), equal on all ranks
     * @return (rows, vocabulary), f32, equal on all ranks; where {@link #reserve} says
     */
    Tensor forward(Tensor x) {
        Tensor logits = reserve((int) x.shape().dim(0));
        if (x.shape().dim(0) == 0) {
            return logits;
        }
        kernels.linear(x, weight, null, current.local());
        if (tensor.size() > 1) {
            tensor.allGather(current.local().buffer(), current.gathered().buffer());
            join(current);
        }
        return logits;
    }

    /** From (ranks, rows, share) to (rows, vocabulary): the shares of a row side by side, the padding cut off. */
    private void join(View view) {
        kernels.gatherRows(view.gathered(), view.order(), view.joined());
        for (int row = 0; row < view.cuts().size(); row++) {
            kernels.gatherRows(view.cuts().get(row), FIRST, view.cutRows().get(row));
        }
    }
}
