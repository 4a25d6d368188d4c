package org.lockstep.spark;

import java.util.Locale;
import org.lockstep.inference.GeneratorOptions;
import org.lockstep.model.ModelConfig;
import org.lockstep.topology.LayerRange;
import org.lockstep.topology.MachinePicture;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.ProcessGrid;

/**
 * A run before it is launched: which rank would do what. Its text is the picture of the machine.
 *
 * @param model where its files are
 * @param grid of ranks, all sizes resolved
 * @param options resolved
 * @param master of Spark
 */
public record Plan(String model, ModelConfig config, ProcessGrid grid, GeneratorOptions options, String master) {

    /** For example {@code tensor 2 × pipeline 2 × data 1}. */
    String sum() {
        ParallelSizes sizes = grid.sizes();
        return "tensor " + sizes.tp() + " × pipeline " + sizes.pp() + " × data " + sizes.dp();
    }

    @Override
    public String toString() {
        StringBuilder text = new StringBuilder(String.format(
                Locale.ROOT,
                "%s: %d layers, hidden %d, %d heads (%d key/value), vocabulary %,d%n",
                model,
                config.layers(),
                config.hiddenSize(),
                config.heads(),
                config.keyValueHeads(),
                config.vocabularySize()));
        text.append(String.format(Locale.ROOT, "%d ranks = %s on %s%n", grid.worldSize(), sum(), master));
        int stages = grid.sizes().pp();
        for (int stage = 0; stage < stages; stage++) {
            LayerRange layers = LayerRange.of(config.layers(), stages, stage);
            text.append(String.format(
                    Locale.ROOT,
                    "  pipeline stage %d: layers %d-%d%s%s%n",
                    stage,
                    layers.start(),
                    layers.end() - 1,
                    stage == 0 ? ", embedding" : "",
                    stage == stages - 1 ? ", head" : ""));
        }
        text.append(String.format(
                Locale.ROOT,
                "  a replica: up to %d rows at once, %d positions a row, %,d in the cache%n",
                options.maxSequences(),
                options.maxModelLength(),
                (long) options.cacheBlocks() * options.blockSize()));
        return text.append(MachinePicture.of(grid)).toString();
    }
}
