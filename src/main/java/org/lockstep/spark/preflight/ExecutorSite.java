package org.lockstep.spark.preflight;

import java.io.Serializable;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.apache.spark.SparkContext;
import org.apache.spark.SparkEnv;
import org.apache.spark.api.java.JavaSparkContext;
import org.jspecify.annotations.Nullable;

/**
 * What an executor sees of its machine. Immutable.
 *
 * @param executor by Spark's name
 * @param seesModel whether the model's directory is there, with its settings in it
 * @param descriptors of its process
 */
public record ExecutorSite(String executor, boolean seesModel, Descriptors descriptors) implements Serializable {
    private static final int MOST_TASKS = 1024;

    /**
     * Asks the executors, in a job of one short task for each slot: those that get none do not answer. Under a local master no
     * job is run.
     *
     * @param directory of the model; null if it is not in a directory
     */
    public static List<ExecutorSite> look(SparkContext spark, @Nullable String directory) {
        if (spark.isLocal()) {
            return List.of(here("driver", directory));
        }
        int tasks = Math.min(MOST_TASKS, Math.max(1, ClusterPreflight.slots(spark)));
        Map<String, ExecutorSite> sites = new HashMap<>();
        JavaSparkContext.fromSparkContext(spark)
                .parallelize(IntStream.range(0, tasks).boxed().toList(), tasks)
                .map(any -> here(SparkEnv.get().executorId(), directory))
                .collect()
                .forEach(site -> sites.put(site.executor(), site));
        return new ArrayList<>(sites.values());
    }

    private static ExecutorSite here(String executor, @Nullable String directory) {
        boolean seen = directory == null || Files.isReadable(Path.of(directory, "config.json"));
        return new ExecutorSite(executor, seen, Descriptors.here());
    }
}
