package org.lockstep.tensor;

/** Quantises blocks of weights as {@link WeightType#Q8} says. */
public final class Q8Blocks {
    private static final int MOST = 127;

    private Q8Blocks() {}

    /**
     * The scale of the block {@code weights[from] .. weights[end - 1]}.
     *
     * @throws IllegalArgumentException if a weight is not finite
     */
    public static float scale(float[] weights, int from, int end) {
        float largest = 0;
        for (int k = from; k < end; k++) {
            largest = Math.max(largest, Math.abs(weights[k]));
        }
        if (!(largest < Float.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("a weight is not finite: it cannot be held as q8");
        }
        return largest / MOST;
    }

    /** The multiple of its block's scale that is nearest to a weight. */
    public static byte quantise(float weight, float scale) {
        return scale == 0 ? 0 : (byte) Math.max(-MOST, Math.min(MOST, Math.rint(weight / scale)));
    }
}
