package org.lockstep.spark.rows;

import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.spark.Partition;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.rdd.RDD;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.spark.gang.ScalaIterators;
import org.lockstep.spark.settings.Settings;

/**
 * The results of a barrier stage that has run, read from where its tasks kept them.
 *
 * <p>An RDD that descends from a barrier stage remains one: {@code take}, {@code coalesce} or a second stage over it are
 * refused by Spark. The RDD made here has no parents. Where an executor is gone, so are the partitions it kept: reading
 * them fails and says so (ANSWERS_LOST); it never runs the stage again.
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
                    try {
                        return ScalaIterators.toJava(stage.iterator(partition, TaskContext.get()));
                    } catch (LockstepException e) { // Spark would make them anew, here, where no ranks can meet
                        throw e.code() == ErrorCode.NOT_IN_BARRIER_STAGE ? lost(partition.index(), e) : e;
                    }
                });
    }

    private static LockstepException lost(int partition, LockstepException cause) {
        return LockstepException.report(
                        ErrorCode.ANSWERS_LOST,
                        "the answers of partition " + partition + " are gone with the executor that held them")
                .attempt("generate with --checkpoint-dir DIR (" + Settings.CHECKPOINT_DIR.key()
                        + "), where they stay until they are discarded: then --resume reads them without a model")
                .cause(cause)
                .exception();
    }
}
