package org.lockstep.cli;

import java.util.OptionalInt;
import org.apache.spark.sql.SparkSession;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.spark.Llm;
import org.lockstep.tensor.WeightType;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.ProcessGrid;
import org.lockstep.topology.RankOrder;

/**
 * The model and the machine that {@code lockstep generate} launches and {@code lockstep doctor} looks at.
 *
 * @param model a directory, null for the bundled model
 * @param sizes as given: replicas may be left to infer
 * @param ranks the world size, where given
 * @param order of the axes
 * @param weightType how the weights are held, null as they are stored
 * @param limits of a replica
 * @param device that ranks compute on
 */
record LaunchRequest(
        @Nullable String model,
        ParallelSizes sizes,
        OptionalInt ranks,
        RankOrder order,
        @Nullable WeightType weightType,
        Limits limits,
        DeviceRequest device) {

    /**
     * The limits of a replica; what is not given is left to the configuration.
     *
     * @param maxModelLength positions of a row
     * @param maxSequences rows at once
     * @param maxStepLength positions of a step
     * @param blockSize positions of a block of the cache
     * @param prefixCaching whether equal beginnings are computed once, null where not given
     */
    record Limits(
            OptionalInt maxModelLength,
            OptionalInt maxSequences,
            OptionalInt maxStepLength,
            OptionalInt blockSize,
            @Nullable Boolean prefixCaching) {

        private Llm applyTo(Llm whole) {
            Llm llm = maxModelLength.isPresent() ? whole.maxModelLength(maxModelLength.getAsInt()) : whole;
            llm = maxSequences.isPresent() ? llm.maxSequences(maxSequences.getAsInt()) : llm;
            llm = maxStepLength.isPresent() ? llm.maxStepLength(maxStepLength.getAsInt()) : llm;
            llm = blockSize.isPresent() ? llm.blockSize(blockSize.getAsInt()) : llm;
            return prefixCaching == null ? llm : llm.prefixCaching(prefixCaching);
        }
    }

    /** The ranks that are known before a cluster is asked: the smallest world where nothing says more. */
    int worldSize() {
        int replicas = sizes.dp() == ParallelSizes.INFER ? 1 : sizes.dp();
        return ranks.orElseGet(() -> Math.multiplyExact(Math.multiplyExact(sizes.tp(), sizes.pp()), replicas));
    }

    /** @throws LockstepException WORLD_SIZE if the ranks cannot be split into these sizes in this order */
    void checkWorld() {
        try {
            ProcessGrid.of(worldSize(), sizes, order);
        } catch (IllegalArgumentException | ArithmeticException e) {
            throw LockstepException.report(ErrorCode.WORLD_SIZE, String.valueOf(e.getMessage()))
                    .attempt("choose sizes whose product is the number of ranks")
                    .cause(e)
                    .exception();
        }
    }

    /** @throws LockstepException if the model's files cannot be used */
    Llm on(SparkSession spark) {
        Llm llm = (model == null ? Llm.bundled(spark) : Llm.load(spark, model))
                .tensorParallel(sizes.tp())
                .pipelineParallel(sizes.pp())
                .dataParallel(sizes.dp())
                .order(order);
        Integer chunks = sizes.virtualPipeline();
        llm = chunks == null ? llm : llm.virtualPipelineParallel(chunks);
        llm = weightType == null ? llm : llm.weightType(weightType);
        llm = ranks.isPresent() ? llm.ranks(ranks.getAsInt()) : llm;
        return device.applyTo(limits.applyTo(llm));
    }
}
