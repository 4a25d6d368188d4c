package org.lockstep.inference;

import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;

/** The sampler's choice once more: in double by sorting everything, step by step; repetition penalties only. */
final class PlainSampling {
    private static final double ROUNDING = 1e-5;

    private PlainSampling() {}

    static int choose(float[] logits, Sequence sequence) {
        return choose(logits, sequence, sequence.params(), 0);
    }

    /** Whether a number next to the random one, or a border of what is cut off next to the one asked for, gives this token. */
    static boolean isAtABorder(float[] logits, Sequence sequence, int chosen) {
        SamplingParams params = sequence.params();
        for (double less : new double[] {1 - ROUNDING, 1, 1 + ROUNDING}) {
            SamplingParams close =
                    params.withTopP(Math.min(1, params.topP() * less)).withMinP(Math.min(1, params.minP() * less));
            if (choose(logits, sequence, close, -ROUNDING) <= chosen
                    && chosen <= choose(logits, sequence, close, ROUNDING)) {
                return true;
            }
        }
        return false;
    }

    /** How far what was drawn is from what the probabilities of these logits let expect: chi-square, of one degree less than there are. */
    static double chiSquare(float[] logits, double temperature, int[] seen) {
        double[] expected = new double[logits.length];
        double sum = 0;
        for (int i = 0; i < logits.length; i++) {
            sum += expected[i] = Math.exp(logits[i] / temperature);
        }
        int draws = Arrays.stream(seen).sum();
        double chiSquare = 0;
        for (int i = 0; i < logits.length; i++) {
            double want = draws * expected[i] / sum;
            chiSquare += (seen[i] - want) * (seen[i] - want) / want;
        }
        return chiSquare;
    }

    private static int choose(float[] raw, Sequence sequence, SamplingParams params, double by) {
        float[] logits = raw.clone();
        IntStream.range(0, sequence.size())
                .map(sequence::token)
                .distinct()
                .forEach(t -> logits[t] = logits[t] > 0
                        ? logits[t] / (float) params.repetitionPenalty()
                        : logits[t] * (float) params.repetitionPenalty());
        float max = logits[0];
        for (float each : logits) {
            max = Math.max(max, each);
        }
        double[] weights = new double[logits.length];
        for (int i = 0; i < weights.length; i++) {
            weights[i] = StrictMath.exp(((double) logits[i] - max) / params.temperature());
            weights[i] = weights[i] < params.minP() ? 0 : weights[i];
        }
        int alive = (int) Arrays.stream(weights).filter(w -> w > 0).count();
        Integer[] ids = IntStream.range(0, weights.length).boxed().toArray(Integer[]::new);
        Arrays.sort(ids, Comparator.<Integer>comparingDouble(i -> -logits[i]).thenComparingInt(i -> i));
        if (params.topK() > 0 && params.topK() < alive) {
            float last = logits[ids[params.topK() - 1]];
            for (int i = 0; i < weights.length; i++) {
                weights[i] = logits[i] < last ? 0 : weights[i];
            }
        }
        double sum = 0;
        for (int i = 0; i < ids.length; i++) {
            sum += params.topK() > 0 && params.topK() < alive ? weights[ids[i]] : weights[i];
        }
        double reached = 0;
        for (int id : ids) {
            if (params.topP() < 1 && reached > 0 && reached >= params.topP() * sum) {
                weights[id] = 0;
            }
            reached += weights[id];
        }
        Arrays.sort(ids);
        reached = Arrays.stream(ids).mapToDouble(id -> weights[id]).sum();
        double uniform = RowSampler.uniform(sequence);
        double left = Math.max(0, uniform + by) * reached;
        int chosen = -1;
        for (int id : ids) {
            if (weights[id] > 0) {
                chosen = id;
                if (left < weights[id]) {
                    break;
                }
                left -= weights[id];
            }
        }
        return chosen;
    }
}
