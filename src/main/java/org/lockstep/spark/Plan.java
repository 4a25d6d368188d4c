package org.lockstep.spark;

import java.util.Locale;
import org.lockstep.inference.GeneratorOptions;
import org.lockstep.model.ModelConfig;
import org.lockstep.tensor.DataType;
import org.lockstep.topology.MachinePicture;
import org.lockstep.topology.ProcessGrid;

/**
 * A run before it is launched: which rank would do what. Its text is the picture of the machine.
 *
 * @param model where its files are
 * @param grid of ranks, all sizes resolved
 * @param options resolved
 * @param master of Spark
 * @param perRank what a rank has and wants
 * @param transports by which the groups would be connected, in words, as far as the driver knows the ranks' places
 */
public record Plan(
        String model,
        ModelConfig config,
        ProcessGrid grid,
        GeneratorOptions options,
        String master,
        PerRank perRank,
        String transports) {

    /** The plan as a self-contained page: for a file, {@code displayHTML} or {@code %html}. */
    public String html() {
        return ReportPage.of(this);
    }

    /**
     * The page of a run of this plan that threw {@code failure}: what, who, what is kept, and the machine with the ranks that are to
     * blame.
     */
    public String html(Throwable failure) {
        return ReportPage.of(this, failure);
    }

    @Override
    public String toString() {
        String weights =
                config.weightType() == null ? "as stored" : config.weightType().toString();
        return String.format(
                Locale.ROOT,
                "%s: %d layers, hidden %d, %d heads (%d key/value), vocabulary %,d, weights %s, on %s%n"
                        + "a replica: up to %d rows at once, %,d positions a row%s, %,d in its cache%s%s, %,d in a step%n%s%n%s%n%s",
                model,
                config.layers(),
                config.hiddenSize(),
                config.heads(),
                config.keyValueHeads(),
                config.vocabularySize(),
                weights,
                master,
                options.maxSequences(),
                options.maxModelLength(),
                options.maxModelLength() == config.maxPositions()
                        ? ""
                        : String.format(Locale.ROOT, " of the model's %,d", config.maxPositions()),
                options.cacheTokens(),
                options.cacheType() == DataType.F32 ? "" : ", in " + options.cacheType(),
                shortage(),
                options.maxTokensPerStep(),
                perRank,
                MachinePicture.of(grid).withLayers(config.layers()),
                transports);
    }

    /** From which length of rows on not all that run at once fit the cache; nothing where all do. */
    private String shortage() {
        return options.cacheBlocks() >= (long) options.maxSequences() * options.blocksPerSequence()
                ? ""
                : String.format(
                        Locale.ROOT,
                        " (rows beyond %,d on the average are put off and computed again)",
                        options.cacheTokens() / options.maxSequences());
    }
}
