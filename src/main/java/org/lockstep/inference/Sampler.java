package org.lockstep.inference;

import java.util.List;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.Tensor;

/**
 * Logits to a token, in vLLM's order: no end token before {@code minTokens}, penalties (repetition, frequency, presence),
 * then the largest logit if greedy; else temperature, min-p, top-k, top-p, and one draw.
 *
 * <p>The random number of a token is a hash of seed, request id and output position, and nothing else, so a completion
 * does not depend on how many ranks, replicas or other sequences there are, nor on their order. Equal logits are ordered by
 * id, lowest first. The scratch space, about 20 bytes a token of the vocabulary, is made once. Not thread-safe.
 */
final class Sampler {
    // SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014
    private static final long GAMMA = 0x9e3779b97f4a7c15L;

    /**
     * In a token's place where there is none: a logit is NaN or plus infinity, or becomes so by a penalty, or all
     * that may be chosen are minus infinity.
     */
    static final int NONE = -1;

    private final List<Integer> endTokens;
    private final int vocabularySize;
    private final float[] work;
    private final double[] weights;
    private final int[] order;
    private final int[] seen;
    private HostBuffer copied = HostBuffer.allocate(DataType.F32, 0);

    /**
     * A sampler for one vocabulary.
     *
     * @param vocabularySize logits of a row
     * @param endTokens the model's own
     */
    Sampler(int vocabularySize, List<Integer> endTokens) {
        this.vocabularySize = vocabularySize;
        this.endTokens = List.copyOf(endTokens);
        this.work = new float[vocabularySize];
        this.weights = new double[vocabularySize];
        this.order = new int[vocabularySize];
        this.seen = new int[vocabularySize];
    }

    /**
     * Chooses a token for each row of logits. What is only greedy is done by the device, all rows at once and without a copy
     * of them.
     *
     * @param logits (rows, vocabularySize), f32
     * @param sequences row by row
     * @param tokens where a token for each goes, or {@link #NONE}
     */
    void sample(Tensor logits, List<Sequence> sequences, Kernels kernels, int[] tokens) {
        int greedy = 0;
        for (int row = 0; row < sequences.size(); row++) {
            greedy += isOnlyGreedy(sequences.get(row)) ? 1 : 0;
        }
        if (greedy > 0) {
            kernels.argmax(logits, tokens);
        }
        if (greedy == sequences.size()) {
            return;
        }
        HostBuffer rows = host(logits.buffer());
        for (int row = 0; row < sequences.size(); row++) {
            Sequence sequence = sequences.get(row);
            if (!isOnlyGreedy(sequence)) {
                tokens[row] = sample(rows.floats(), rows.offset() + row * vocabularySize, sequence);
            }
        }
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

    /** Whether the token is the largest logit and nothing else counts. */
    private static boolean isOnlyGreedy(Sequence sequence) {
        SamplingParams params = sequence.params();
        return params.isGreedy()
                && sequence.outputTokens() >= params.minTokens()
                && params.repetitionPenalty() == 1
                && params.frequencyPenalty() == 0
                && params.presencePenalty() == 0;
    }

    /**
     * Chooses the token after {@code sequence}.
     *
     * @param logits of which {@code vocabularySize} from {@code from} on are read; minus infinity is a token never chosen
     * @return the token, or {@link #NONE}
     */
    int sample(float[] logits, int from, Sequence sequence) {
        SamplingParams params = sequence.params();
        System.arraycopy(logits, from, work, 0, vocabularySize);
        if (!areNumbers()) {
            return NONE;
        }
        holdBackEnd(sequence);
        if (penalise(sequence) && !areNumbers()) { // penalties can be vast
            return NONE;
        }
        int best = argmax();
        if (work[best] == Float.NEGATIVE_INFINITY) {
            return NONE;
        }
        if (params.isGreedy()) {
            return best;
        }
        double uniform = uniform(params.seedOrZero(), sequence.id(), sequence.outputTokens());
        return draw(params, work[best], uniform);
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

    private boolean areNumbers() {
        for (int i = 0; i < vocabularySize; i++) {
            if (!(work[i] < Float.POSITIVE_INFINITY)) {
                return false;
            }
        }
        return true;
    }

    private void holdBackEnd(Sequence sequence) {
        SamplingParams params = sequence.params();
        if (sequence.outputTokens() < params.minTokens()) {
            exclude(params.stopTokenIds());
            if (!params.ignoreEos()) {
                exclude(endTokens);
            }
        }
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
        float repetition = (float) params.repetitionPenalty();
        float frequency = (float) params.frequencyPenalty();
        float presence = (float) params.presencePenalty();
        if (repetition == 1 && frequency == 0 && presence == 0) {
            return false;
        }
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

    private int argmax() {
        int best = 0;
        for (int i = 1; i < vocabularySize; i++) {
            if (work[i] > work[best]) {
                best = i;
            }
        }
        return best;
    }

    private int draw(SamplingParams params, float max, double uniform) {
        int candidates = 0;
        double total = 0;
        for (int i = 0; i < vocabularySize; i++) {
            // relative to the largest, so that temperature cannot overflow and min-p is a comparison
            double weight = StrictMath.exp(((double) work[i] - max) / params.temperature());
            weights[i] = weight;
            if (weight > 0 && weight >= params.minP()) {
                order[candidates++] = i;
                total += weight;
            }
        }
        boolean cutsK = params.topK() > 0 && params.topK() < candidates;
        if (!cutsK && params.topP() == 1) {
            double left = uniform * total;
            int i = 0;
            while (i < candidates - 1 && left >= weights[order[i]]) {
                left -= weights[order[i++]];
            }
            return order[i];
        }
        return drawFromTop(candidates, cutsK ? params.topK() : candidates, params.topP(), total, uniform);
    }

    /** Takes candidates off a heap, most probable first, only as far as needed: the i-th one ends at order[n - 1 - i]. */
    private int drawFromTop(int n, int topK, double topP, double sum, double uniform) {
        for (int i = n / 2 - 1; i >= 0; i--) {
            sink(i, n);
        }
        int heap = n;
        int kept = n;
        double total = sum;
        if (topK < n) {
            total = 0;
            while (heap > 0 && (n - heap < topK || work[order[0]] == work[order[heap]])) {
                heap = pop(heap);
                total += weights[order[heap]];
            }
            kept = n - heap;
        }
        double reached = 0;
        int taken = 0;
        while (taken < kept && (taken == 0 || reached < topP * total)) {
            if (n - heap == taken) {
                heap = pop(heap);
            }
            reached += weights[order[n - 1 - taken]];
            taken++;
        }
        double left = uniform * reached;
        int i = 0;
        while (i < taken - 1 && left >= weights[order[n - 1 - i]]) {
            left -= weights[order[n - 1 - i++]];
        }
        return order[n - 1 - i];
    }

    private int pop(int heap) {
        int last = heap - 1;
        int top = order[0];
        order[0] = order[last];
        order[last] = top;
        sink(0, last);
        return last;
    }

    private void sink(int at, int heap) {
        int id = order[at];
        int hole = at;
        while (2 * hole + 1 < heap) {
            int child = 2 * hole + 1;
            if (child + 1 < heap && before(order[child + 1], order[child])) {
                child++;
            }
            if (!before(order[child], id)) {
                break;
            }
            order[hole] = order[child];
            hole = child;
        }
        order[hole] = id;
    }

    private boolean before(int a, int b) {
        return work[a] > work[b] || (work[a] == work[b] && a < b);
    }
}
