package org.lockstep.spark;

import java.util.UUID;
import org.apache.spark.SparkContext;
import org.jspecify.annotations.Nullable;

/**
 * What Spark's pages say of the jobs that this thread starts, until it is closed: a description, and a job group where the caller has
 * none. A notebook's group stays, so that its stop button ends ranks as it ends other jobs. Afterwards all is as it was. Confined to
 * the thread that made it.
 */
final class JobLabel implements AutoCloseable {
    private static final String DESCRIPTION = "spark.job.description";
    private static final String GROUP = "spark.jobGroup.id";
    private static final String INTERRUPTS = "spark.job.interruptOnCancel";

    private final SparkContext spark;
    private final @Nullable String description;
    private final @Nullable String group;
    private final @Nullable String interrupts;

    private JobLabel(SparkContext spark) {
        this.spark = spark;
        this.description = spark.getLocalProperty(DESCRIPTION);
        this.group = spark.getLocalProperty(GROUP);
        this.interrupts = spark.getLocalProperty(INTERRUPTS);
    }

    /** Labels jobs {@code Lockstep: what}. */
    static JobLabel begin(SparkContext spark, String what) {
        JobLabel label = new JobLabel(spark);
        if (label.group == null) {
            spark.setLocalProperty(
                    GROUP, "lockstep-" + UUID.randomUUID().toString().substring(0, 8));
            spark.setLocalProperty(INTERRUPTS, "true");
        }
        label.describe(what);
        return label;
    }

    /** Labels the jobs that follow otherwise. */
    void describe(String what) {
        spark.setJobDescription("Lockstep: " + what);
    }

    @Override
    public void close() {
        spark.setLocalProperty(DESCRIPTION, description);
        spark.setLocalProperty(GROUP, group);
        spark.setLocalProperty(INTERRUPTS, interrupts);
    }
}
