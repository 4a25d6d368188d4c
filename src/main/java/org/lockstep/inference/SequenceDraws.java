package org.lockstep.inference;

import java.util.List;
import org.lockstep.tensor.Draws;

/**
 * The draws of some sequences of a step, row by row, as their parameters say; of a greedy one the lowest index of the largest logit:
 * at so low a temperature no other logit weighs 1. Filled anew at each step; confined to one thread.
 */
final class SequenceDraws implements Draws {
    private List<Sequence> sequences = List.of();
    private int[] rows = {};
    private int count;

    /** None yet, of a step's sequences row by row. */
    void begin(List<Sequence> sequences) {
        this.sequences = sequences;
        this.rows = rows.length < sequences.size() ? new int[sequences.size()] : rows;
        this.count = 0;
    }

    void add(int row) {
        rows[count++] = row;
    }

    @Override
    public int count() {
        return count;
    }

    @Override
    public int row(int draw) {
        return rows[draw];
    }

    private Sequence sequence(int draw) {
        return sequences.get(rows[draw]);
    }

    private boolean isGreedy(int draw) {
        return sequence(draw).params().isGreedy();
    }

    @Override
    public float inverseTemperature(int draw) {
        return isGreedy(draw)
                ? Float.MAX_VALUE
                : RowSampler.inverse(sequence(draw).params().temperature());
    }

    @Override
    public double minP(int draw) {
        return isGreedy(draw) ? 1 : sequence(draw).params().minP();
    }

    @Override
    public int topK(int draw) {
        return isGreedy(draw) ? 0 : sequence(draw).params().topK();
    }

    @Override
    public double topP(int draw) {
        return isGreedy(draw) ? 1 : sequence(draw).params().topP();
    }

    @Override
    public double uniform(int draw) {
        return isGreedy(draw) ? 0 : RowSampler.uniform(sequence(draw));
    }
}
