package org.lockstep.cli;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.cli.bench.inference.RaggedRows;
import org.lockstep.cli.bench.inference.SpeedPlan;
import org.lockstep.topology.ParallelSizes;

/**
 * What {@code lockstep bench inference} was asked for.
 *
 * @param name of the model
 * @param place the model's folder, or the file of its settings where the weights are random; null for the bundled one
 * @param random whether the weights are random
 * @param dtypes of the weights, one after the other
 * @param sizes likewise
 * @param threads of each rank; null for a part of this machine's cores
 * @param device that ranks compute on
 * @param plan of the measurements
 * @param rows to complete by the engine and by a job instead; null for the plan
 * @param limit for all measurements of a combination
 * @param json whether results are JSON lines, and the tables elsewhere
 */
record InferenceBenchRequest(
        String name,
        @Nullable Path place,
        boolean random,
        List<Dtype> dtypes,
        List<ParallelSizes> sizes,
        @Nullable Integer threads,
        DeviceRequest device,
        SpeedPlan plan,
        @Nullable RaggedRows rows,
        Duration limit,
        boolean json) {

    InferenceBenchRequest {
        dtypes = List.copyOf(dtypes);
        sizes = List.copyOf(sizes);
    }

    static int ranks(ParallelSizes sizes) {
        return Math.multiplyExact(Math.multiplyExact(sizes.tp(), sizes.pp()), sizes.dp());
    }

    int threads(ParallelSizes of) {
        return threads != null ? threads : Math.max(1, Runtime.getRuntime().availableProcessors() / ranks(of));
    }
}
