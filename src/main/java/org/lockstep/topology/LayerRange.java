package org.lockstep.topology;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The consecutive layers that one pipeline stage holds.
 *
 * @param start the first layer, from 0
 * @param end one past the last layer; a stage has at least one
 */
public record LayerRange(int start, int end) implements Serializable {

    public LayerRange {
        if (start < 0 || end <= start) {
            throw new IllegalArgumentException("layers " + start + ".." + end + " are not a range");
        }
    }

    /**
     * The layers of every stage, as even as possible.
     *
     * <p>Layers that do not divide go one each to the second-last stage and on backwards from there, so that the first
     * and the last stay light: they also hold the embedding and the head (vLLM's {@code get_pp_indices}).
     *
     * @param layers at least as many as stages
     * @param stages at least 1
     * @throws IllegalArgumentException otherwise
     */
    public static List<LayerRange> split(int layers, int stages) {
        requireEnough(layers, stages, "pipeline (" + stages + ")");
        List<Integer> counts = new ArrayList<>(Collections.nCopies(stages, layers / stages));
        for (int i = 0; i < layers % stages; i++) {
            counts.set(stages - 2 - i, layers / stages + 1);
        }
        return partition(layers, counts);
    }

    /** The layers of one stage of {@link #split}. */
    public static LayerRange of(int layers, int stages, int stage) {
        return of(layers, stages, stage, 1, 0);
    }

    /**
     * The layers of one chunk of one stage of a virtual pipeline: chunk {@code c} of stage {@code s} is part
     * {@code c · stages + s} of the model, so that a model passes all stages once for every chunk.
     *
     * @param layers at least stages × chunks
     * @param stages at least 1
     * @param stage from 0 to {@code stages - 1}
     * @param chunks at least 1
     * @param chunk from 0 to {@code chunks - 1}
     * @throws IllegalArgumentException otherwise
     */
    public static LayerRange of(int layers, int stages, int stage, int chunks, int chunk) {
        if (stage < 0 || stage >= stages || chunk < 0 || chunk >= chunks) {
            throw new IllegalArgumentException("stage (" + stage + ") and chunk (" + chunk
                    + ") must be less than pipeline (" + stages + ") and virtual pipeline (" + chunks + ")");
        }
        if (chunks > 1) {
            requireEnough(
                    layers,
                    Math.multiplyFull(stages, chunks),
                    "pipeline (" + stages + ") × virtual pipeline (" + chunks + ")");
        }
        return split(layers, stages * chunks).get(chunk * stages + stage);
    }

    /**
     * The layers of every stage as the user wants them.
     *
     * @param layers the layers of the whole model
     * @param layersPerStage one count of at least 1 for each stage
     * @throws IllegalArgumentException if their sum is not {@code layers}
     */
    public static List<LayerRange> partition(int layers, List<Integer> layersPerStage) {
        long sum = layersPerStage.stream().mapToLong(Integer::longValue).sum();
        if (sum != layers) {
            throw new IllegalArgumentException(
                    "layers (" + layers + ") are not the sum (" + sum + ") of layers per stage " + layersPerStage);
        }
        if (layersPerStage.stream().anyMatch(count -> count < 1)) {
            throw new IllegalArgumentException(
                    "each stage needs at least 1 layer, but layers per stage are " + layersPerStage);
        }
        List<LayerRange> ranges = new ArrayList<>(layersPerStage.size());
        int start = 0;
        for (int count : layersPerStage) {
            ranges.add(new LayerRange(start, start + count));
            start += count;
        }
        return List.copyOf(ranges);
    }

    private static void requireEnough(int layers, long stages, String equation) {
        if (stages < 1 || layers < stages) {
            throw new IllegalArgumentException(
                    "layers (" + layers + ") are too few for " + equation + ": each stage needs at least 1");
        }
    }

    /** The number of layers. */
    public int size() {
        return end - start;
    }

    /** Whether the layer is among them. */
    public boolean contains(int layer) {
        return start <= layer && layer < end;
    }

    /** The layers in order. */
    public IntStream stream() {
        return IntStream.range(start, end);
    }
}
