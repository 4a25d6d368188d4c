package org.lockstep.model;

import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.Tensor;

/**
 * The cosines and sines of rotary position embedding (Su et al., 2021, RoFormer), rounded as in Hugging Face's Llama:
 * angles are products of f32. Immutable.
 *
 * @param cos (positions, headSize / 2), f32
 * @param sin likewise
 */
record RotaryTable(Tensor cos, Tensor sin) {
    static RotaryTable of(ModelConfig config, int positions, StageMemory memory) {
        double[] frequencies = config.ropeScaling().inverseFrequencies(config.headSize(), config.ropeTheta());
        int half = frequencies.length;
        float[] cos = new float[Math.multiplyExact(positions, half)];
        float[] sin = new float[Math.multiplyExact(positions, half)];
        for (int i = 0; i < cos.length; i++) {
            int position = i / half;
            float angle = position * (float) frequencies[i % half];
            cos[i] = (float) Math.cos(angle);
            sin[i] = (float) Math.sin(angle);
        }
        return new RotaryTable(
                memory.upload(Buffer.ofFloats(cos), positions, half),
                memory.upload(Buffer.ofFloats(sin), positions, half));
    }

    int positions() {
        return (int) cos.shape().dim(0);
    }
}
