package org.lockstep.spark.preflight;

import java.util.Optional;
import java.util.stream.Stream;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkContext;
import org.apache.spark.resource.ResourceProfile;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * What each task of a gang's stage asks of its executor: what the application's configuration says, or a resource profile of the
 * stage's own (stage-level scheduling). Immutable.
 *
 * <p>Spark runs a profile on the executors that there are if it asks for nothing but tasks' shares of them. One that asks for
 * executors needs dynamic allocation, and barrier stages are refused with that.
 *
 * @param conf the application's configuration, as if its tasks asked for what these ask for
 * @param profile empty for the application's own
 */
public record TaskRequest(SparkConf conf, Optional<ResourceProfile> profile) {
    private static final String CPUS = "cpus";

    /**
     * Of a stage with this profile, which Spark knows from now on.
     *
     * @throws LockstepException TASK_RESOURCES for a profile that no barrier stage can have
     */
    public static TaskRequest of(SparkContext spark, Optional<ResourceProfile> profile) {
        SparkConf conf = spark.getConf();
        if (profile.isEmpty()) {
            return new TaskRequest(conf, profile);
        }
        ResourceProfile asked = profile.get();
        if (spark.isLocal()) {
            throw refused(
                    "under the local master " + spark.master() + " Spark has no resource profiles",
                    "no withResources here");
        }
        if (!asked.executorResourcesJMap().isEmpty()) {
            throw refused(
                    "the resource profile asks for executors of its own ("
                            + String.join(", ", asked.executorResourcesJMap().keySet())
                            + "): Spark starts those by dynamic allocation only, which barrier stages are refused with"
                            + " (SPARK-24942)",
                    "a profile of TaskResourceRequests alone; what executors have is the application's configuration");
        }
        Stream.of(conf.getAll())
                .map(entry -> entry._1())
                .filter(key -> key.matches("spark\\.task\\.resource\\..+\\.amount"))
                .forEach(conf::remove); // a profile's tasks get what it says and no more
        asked.taskResourcesJMap().forEach((resource, request) -> {
            if (resource.equals(CPUS)) {
                conf.set("spark.task.cpus", Integer.toString((int) request.amount()));
            } else {
                conf.set("spark.task.resource." + resource + ".amount", Double.toString(request.amount()));
            }
        });
        spark.resourceProfileManager().addResourceProfile(asked);
        return new TaskRequest(conf, profile);
    }

    private static LockstepException refused(String why, String attempt) {
        return LockstepException.report(ErrorCode.TASK_RESOURCES, why)
                .attempt(attempt)
                .exception();
    }

    /** Such tasks that can run at once, all executors together, by cpus and resources: Spark's own count for barrier stages. */
    public int slots(SparkContext spark) {
        return spark.maxNumConcurrentTasks(
                profile.orElseGet(() -> spark.resourceProfileManager().defaultResourceProfile()));
    }

    /** In words, for what must be equal between runs. */
    @Override
    public String toString() {
        return profile.map(asked -> asked.taskResourcesJMap().toString()).orElse("the application's");
    }
}
