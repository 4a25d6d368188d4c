package org.lockstep.model;

import java.io.Serializable;

/**
 * How the rotary frequencies of a model are stretched for texts longer than it was first trained on. Immutable.
 *
 * <p>Only the inverse frequencies differ: none of these kinds scales the cosines and sines themselves.
 */
public sealed interface RopeScaling extends Serializable {
    /** Frequencies as they are. */
    RopeScaling NONE = new None();

    /**
     * Radians a position of each pair of a head's elements, {@code headSize / 2} many: element i turns together with
     * element {@code i + headSize / 2}.
     *
     * <p>Each value is a float widened to double, computed in float32 as transformers does, so that tables built from it
     * agree with the model's training.
     *
     * @param headSize even
     * @param theta the base, for example 10000
     */
    double[] inverseFrequencies(int headSize, double theta);

    /** Frequencies as they are; use {@link RopeScaling#NONE}. */
    record None() implements RopeScaling {
        private static final long serialVersionUID = 1;

        @Override
        public double[] inverseFrequencies(int headSize, double theta) {
            if (headSize < 2 || headSize % 2 != 0) {
                throw new IllegalArgumentException("head size (" + headSize + ") is not a positive even number");
            }
            double[] inverse = new double[headSize / 2];
            for (int i = 0; i < inverse.length; i++) {
                float exponent = (float) (2 * i) / headSize;
                inverse[i] = 1f / (float) Math.pow((float) theta, exponent);
            }
            return inverse;
        }

        @Override
        public String toString() {
            return "none";
        }
    }

    /**
     * Positions divided by a factor.
     *
     * @param factor finite, at least 1
     */
    record Linear(double factor) implements RopeScaling {
        private static final long serialVersionUID = 1;

        @Override
        public double[] inverseFrequencies(int headSize, double theta) {
            double[] inverse = NONE.inverseFrequencies(headSize, theta);
            for (int i = 0; i < inverse.length; i++) {
                inverse[i] = (float) inverse[i] / (float) factor;
            }
            return inverse;
        }
    }

    /**
     * Llama 3: long waves divided by a factor, short ones kept, a smooth passage between.
     *
     * @param factor finite, at least 1
     * @param lowFreqFactor waves longer than {@code originalMaxPositions / lowFreqFactor} are divided; positive
     * @param highFreqFactor waves shorter than {@code originalMaxPositions / highFreqFactor} are kept; more than the low
     * @param originalMaxPositions the context of the first training
     */
    record Llama3(double factor, double lowFreqFactor, double highFreqFactor, int originalMaxPositions)
            implements RopeScaling {
        private static final long serialVersionUID = 1;

        @Override
        public double[] inverseFrequencies(int headSize, double theta) {
            double[] inverse = NONE.inverseFrequencies(headSize, theta);
            float divisor = (float) factor;
            float low = (float) lowFreqFactor;
            float span = (float) (highFreqFactor - lowFreqFactor);
            float longest = (float) (originalMaxPositions / lowFreqFactor);
            float shortest = (float) (originalMaxPositions / highFreqFactor);
            for (int i = 0; i < inverse.length; i++) {
                float kept = (float) inverse[i];
                float wave = (float) (2 * Math.PI) / kept;
                if (wave > longest) {
                    inverse[i] = kept / divisor;
                } else if (wave >= shortest) {
                    float smooth = ((float) originalMaxPositions / wave - low) / span;
                    inverse[i] = (1 - smooth) * kept / divisor + smooth * kept;
                }
            }
            return inverse;
        }
    }
}
