package org.lockstep.inference;

import java.util.Arrays;
import java.util.List;
import org.lockstep.simd.Arithmetic;

/**
 * Logits to a token, in vLLM's order: no end token before {@code minTokens}, penalties (repetition, frequency, presence),
 * then the largest logit if greedy; else temperature, min-p, top-k, top-p, and one draw among what they leave, by id, as
 * {@link org.lockstep.tensor.Draws} says.
 *
 * <p>The random number of a token is a hash of seed, request id and output position, and nothing else, so a completion
 * does not depend on how many ranks, replicas or other sequences there are, nor on their order. Equal logits are ordered by
 * id, lowest first. Weights are f32 with a relative error of about 1e-6, of the same bits with vectors and without, and their
 * sums are of double: where that decides, at the border between two tokens or of what is cut off, it decides alike on every host.
 *
 * <p>The scratch space, about 20 bytes a token of the vocabulary, is made once. Not thread-safe.
 */
final class RowSampler {
    // SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014
    private static final long GAMMA = 0x9e3779b97f4a7c15L;

    /** Weights that are summed in f32, and skipped by a draw at once. */
    private static final int RUN = 1024;

    // weights are in 0..1, so their bits are ordered as they are: an eighth of an octave has these bits in common
    private static final int BUCKET_BITS = 20;
    private static final int BUCKETS = (Float.floatToRawIntBits(1) >>> BUCKET_BITS) + 1;

    private final List<Integer> endTokens;
    private final int vocabularySize;
    private final Arithmetic arithmetic;
    private final float[] work; // the logits, and minus infinity up to whole vectors
    private final float[] weights; // of the candidates
    private final int[] ids; // of the candidates, in their order
    private final int[] heap;
    private final int[] seen;
    private final double[] sums; // of the runs of weights
    private final double[] masses = new double[BUCKETS];
    private final float[] lanes = new float[Arithmetic.LANES];

    /**
     * A sampler for one vocabulary.
     *
     * @param vocabularySize logits of a row
     * @param endTokens the model's own
     */
    RowSampler(int vocabularySize, List<Integer> endTokens, Arithmetic arithmetic) {
        int padded = padded(vocabularySize);
        this.vocabularySize = vocabularySize;
        this.endTokens = List.copyOf(endTokens);
        this.arithmetic = arithmetic;
        this.work = new float[padded];
        Arrays.fill(work, Float.NEGATIVE_INFINITY);
        this.weights = new float[padded];
        this.ids = new int[vocabularySize];
        this.heap = new int[vocabularySize];
        this.seen = new int[vocabularySize];
        this.sums = new double[(padded + RUN - 1) / RUN];
    }

    private static int padded(int count) {
        return (count + Arithmetic.LANES - 1) / Arithmetic.LANES * Arithmetic.LANES;
    }

    /** Whether the row's logits are not chosen from as they are: by penalties, or because no end token may come yet. */
    static boolean changesLogits(Sequence sequence) {
        return holdsBackEnd(sequence) || penalises(sequence.params());
    }

    private static boolean holdsBackEnd(Sequence sequence) {
        SamplingParams params = sequence.params();
        return sequence.outputTokens() < params.minTokens()
                && !(params.ignoreEos() && params.stopTokenIds().isEmpty());
    }

    private static boolean penalises(SamplingParams params) {
        return params.repetitionPenalty() != 1 || params.frequencyPenalty() != 0 || params.presencePenalty() != 0;
    }

    /**
     * Chooses the token after {@code sequence}.
     *
     * @param logits of which {@code vocabularySize} from {@code from} on are read; minus infinity is a token never chosen
     * @return the token, or {@link Sampler#NONE}
     */
    int sample(float[] logits, int from, Sequence sequence) {
        SamplingParams params = sequence.params();
        System.arraycopy(logits, from, work, 0, vocabularySize);
        float most = largest();
        if (!(most < Float.POSITIVE_INFINITY)) {
            return Sampler.NONE;
        }
        boolean held = holdBackEnd(sequence);
        if (penalise(sequence) || held) {
            most = largest();
        }
        if (!(most < Float.POSITIVE_INFINITY) || most == Float.NEGATIVE_INFINITY) { // penalties can be vast
            return Sampler.NONE;
        }
        if (params.isGreedy()) {
            return first(most);
        }
        return draw(params, most, uniform(sequence));
    }

    /** The random number of the token after {@code sequence}. */
    static double uniform(Sequence sequence) {
        return uniform(sequence.params().seedOrZero(), sequence.id(), sequence.outputTokens());
    }

    /** A number in [0, 1) that depends on these three and nothing else. */
    static double uniform(long seed, long id, long position) {
        long hash = mix(seed + GAMMA);
        hash = mix((hash ^ id) + GAMMA);
        hash = mix((hash ^ position) + GAMMA);
        return (hash >>> 11) * 0x1p-53;
    }

    private static long mix(long z) {
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }

    /** NaN if one is. */
    private float largest() {
        return arithmetic.largest(work, 0, work.length);
    }

    private int first(float logit) {
        int id = 0;
        while (work[id] != logit) {
            id++;
        }
        return id;
    }

    /** Excludes what may not be chosen yet; whether there is something. */
    private boolean holdBackEnd(Sequence sequence) {
        if (!holdsBackEnd(sequence)) {
            return false;
        }
        SamplingParams params = sequence.params();
        exclude(params.stopTokenIds());
        if (!params.ignoreEos()) {
            exclude(endTokens);
        }
        return true;
    }

    private void exclude(List<Integer> tokens) {
        for (int i = 0; i < tokens.size(); i++) {
            if (tokens.get(i) < vocabularySize) {
                work[tokens.get(i)] = Float.NEGATIVE_INFINITY;
            }
        }
    }

    /**
     * Penalises each token of the history once, if the row asks for it; whether it does. {@code seen} holds a token's count in the
     * output plus one, and zeros again at the end.
     */
    private boolean penalise(Sequence sequence) {
        SamplingParams params = sequence.params();
        if (!penalises(params)) {
            return false;
        }
        float repetition = (float) params.repetitionPenalty();
        float frequency = (float) params.frequencyPenalty();
        float presence = (float) params.presencePenalty();
        int prompt = sequence.promptTokens();
        for (int p = 0; p < sequence.size(); p++) {
            int token = sequence.token(p);
            seen[token] = Math.max(seen[token], 1) + (p < prompt ? 0 : 1);
        }
        for (int p = 0; p < sequence.size(); p++) {
            int token = sequence.token(p);
            if (seen[token] > 0) {
                int count = seen[token] - 1;
                seen[token] = 0;
                float logit = work[token] > 0 ? work[token] / repetition : work[token] * repetition;
                work[token] = logit - frequency * count - (count > 0 ? presence : 0);
            }
        }
        return true;
    }

    private int draw(SamplingParams params, float most, double uniform) {
        boolean cuts = params.topK() > 0 && params.topK() < vocabularySize;
        int count = candidates(cuts ? kth(params.topK()) : Float.NEGATIVE_INFINITY);
        double total = weigh(count, most, params.temperature());
        if (params.minP() > 0) {
            for (int i = 0; i < count; i++) {
                weights[i] = weights[i] < params.minP() ? 0 : weights[i];
            }
            total = sum(count);
        }
        if (params.topP() < 1) {
            keepMostProbable(count, params.topP() * total);
            total = sum(count);
        }
        return ids[pick(count, uniform * total)];
    }

    /** The k-th largest logit: the least in a heap of the k largest, least first, in the room of the weights. */
    private float kth(int k) {
        System.arraycopy(work, 0, weights, 0, k);
        for (int i = k / 2 - 1; i >= 0; i--) {
            sinkLogit(i, k, weights[i]);
        }
        for (int i = k; i < vocabularySize; i++) {
            if (work[i] > weights[0]) {
                sinkLogit(0, k, work[i]);
            }
        }
        return weights[0];
    }

    private void sinkLogit(int at, int size, float logit) {
        int hole = at;
        while (2 * hole + 1 < size) {
            int child = 2 * hole + 1;
            if (child + 1 < size && weights[child + 1] < weights[child]) {
                child++;
            }
            if (weights[child] >= logit) {
                break;
            }
            weights[hole] = weights[child];
            hole = child;
        }
        weights[hole] = logit;
    }

    /** Those of at least this logit, by id. */
    private int candidates(float least) {
        int count = 0;
        for (int id = 0; id < vocabularySize; id++) {
            ids[count] = id;
            count += work[id] >= least ? 1 : 0; // without a branch that nobody could foresee
        }
        return count;
    }

    /** The candidates' exponentials, relative to the largest so that no temperature overflows; their sum. */
    private double weigh(int count, float most, double temperature) {
        float inverse = inverse(temperature);
        if (count == vocabularySize) {
            for (int i = 0; i < count; i++) {
                weights[i] = (work[i] - most) * inverse;
            }
        } else {
            for (int i = 0; i < count; i++) {
                weights[i] = (work[ids[i]] - most) * inverse;
            }
        }
        int whole = padded(count);
        Arrays.fill(weights, count, whole, Float.NEGATIVE_INFINITY);
        double total = 0;
        for (int at = 0; at < whole; at += RUN) {
            sums[at / RUN] = arithmetic.exponentials(weights, at, Math.min(RUN, whole - at), 0, lanes);
            total += sums[at / RUN];
        }
        return total;
    }

    /** By what logits are multiplied: not by 0, which times minus infinity is NaN. */
    static float inverse(double temperature) {
        return Math.max((float) (1 / temperature), Float.MIN_NORMAL);
    }

    private double sum(int count) {
        double total = 0;
        for (int at = 0; at < count; at += RUN) {
            double sum = 0;
            for (int i = at; i < Math.min(count, at + RUN); i++) {
                sum += weights[i];
            }
            sums[at / RUN] = sum;
            total += sum;
        }
        return total;
    }

    /** The candidate at which the weights before it and its own exceed {@code reach}; one that has a weight. */
    private int pick(int count, double reach) {
        int last = (count - 1) / RUN;
        while (last > 0 && sums[last] == 0) {
            last--;
        }
        double left = reach;
        int run = 0;
        while (run < last && left >= sums[run]) {
            left -= sums[run++];
        }
        int picked = run * RUN;
        for (int i = run * RUN; i < Math.min(count, (run + 1) * RUN); i++) {
            if (weights[i] > 0) {
                picked = i;
                if (left < weights[i]) {
                    break;
                }
                left -= weights[i];
            }
        }
        return picked;
    }

    /**
     * Leaves the heaviest candidates that together reach {@code wanted}, of equal ones those of the lowest ids; the weights of
     * all others become zero. Only among those of about the weight at which it is reached is an order needed.
     */
    private void keepMostProbable(int count, double wanted) {
        Arrays.fill(masses, 0);
        for (int i = 0; i < count; i++) {
            masses[bucket(weights[i])] += weights[i];
        }
        double reached = 0;
        int last = BUCKETS - 1;
        while (last > 0 && reached + masses[last] < wanted) {
            reached += masses[last--];
        }
        int size = 0;
        for (int i = 0; i < count; i++) {
            int bucket = bucket(weights[i]);
            heap[size] = i;
            size += bucket == last ? 1 : 0;
            weights[i] = bucket < last ? 0 : weights[i];
        }
        for (int i = size / 2 - 1; i >= 0; i--) {
            sink(i, size);
        }
        while (size > 0 && reached < wanted) {
            reached += weights[heap[0]];
            heap[0] = heap[--size];
            sink(0, size);
        }
        for (int i = 0; i < size; i++) {
            weights[heap[i]] = 0;
        }
    }

    private static int bucket(float weight) {
        return Float.floatToRawIntBits(weight) >>> BUCKET_BITS;
    }

    private void sink(int at, int size) {
        int id = heap[at];
        int hole = at;
        while (2 * hole + 1 < size) {
            int child = 2 * hole + 1;
            if (child + 1 < size && before(heap[child + 1], heap[child])) {
                child++;
            }
            if (!before(heap[child], id)) {
                break;
            }
            heap[hole] = heap[child];
            hole = child;
        }
        heap[hole] = id;
    }

    private boolean before(int a, int b) {
        return weights[a] > weights[b] || (weights[a] == weights[b] && a < b);
    }
}
