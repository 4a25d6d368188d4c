package org.lockstep.spark.rows;

import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.spark.Partition;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.rdd.RDD;
import org.lockstep.spark.gang.ScalaIterators;

/**
 * The results of a barrier stage that has run, read from where its tasks kept them.
 *
 * <p>An RDD that descends from a barrier stage remains one: {@code take}, {@code coalesce} or a second stage over it are
 * refused by Spark. The RDD made here has no parents. Where an executor is gone, so are the partitions it kept: reading
 * them fails and says so (NOT_IN_BARRIER_STAGE); it never runs the stage again.
 */
public final class KeptRows {
    private KeptRows() {}

    /** Of {@code kept}, which is persisted and has been computed whole. */
    public static <T> JavaRDD<T> of(JavaRDD<T> kept) {
        RDD<T> stage = kept.rdd();
        Partition[] partitions = stage.partitions();
        return JavaSparkContext.fromSparkContext(kept.context())
                .parallelize(
                        IntStream.range(0, partitions.length).boxed().collect(Collectors.toList()), partitions.length)
                .mapPartitions(mine -> {
                    Partition partition = partitions[mine.next()];
                    return ScalaIterators.toJava(stage.iterator(partition, TaskContext.get()));
                });
    }
}
