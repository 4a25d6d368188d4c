package org.lockstep.spark.preflight;

import java.util.Optional;
import org.apache.spark.NarrowDependency;
import org.apache.spark.rdd.RDD;
import org.apache.spark.resource.ResourceProfile;
import scala.collection.Iterable;
import scala.collection.Iterator;

/**
 * Whether an RDD can be the input of a barrier stage as it is.
 *
 * <p>Within a barrier stage Spark wants every RDD to have the barrier's number of partitions, and no second barrier
 * (SPARK-24820, SPARK-24821); it says so only when the job is submitted.
 */
public final class StageChain {
    private StageChain() {}

    public static boolean allows(RDD<?> rdd, int world) {
        if (rdd.getNumPartitions() != world || rdd.isBarrier()) {
            return false;
        }
        Iterator<?> dependencies = dependencies(rdd);
        while (dependencies.hasNext()) {
            if (dependencies.next() instanceof NarrowDependency<?> narrow && !allows(narrow.rdd(), world)) {
                return false;
            }
        }
        return true;
    }

    /** The resource profile that a stage over this RDD would have: Spark takes it from the RDDs in the stage. */
    public static Optional<ResourceProfile> profile(RDD<?> rdd) {
        Optional<ResourceProfile> profile = Optional.ofNullable(rdd.getResourceProfile());
        for (Iterator<?> all = dependencies(rdd); profile.isEmpty() && all.hasNext(); ) {
            if (all.next() instanceof NarrowDependency<?> narrow) {
                profile = profile(narrow.rdd());
            }
        }
        return profile;
    }

    /** Called by name: its result is another type of the Scala library in each of Spark's two Scala builds. */
    private static Iterator<?> dependencies(RDD<?> rdd) {
        try {
            return ((Iterable<?>) RDD.class.getMethod("dependencies").invoke(rdd)).iterator();
        } catch (ReflectiveOperationException e) {
            throw new LinkageError("this Spark has no RDD.dependencies()", e);
        }
    }
}
