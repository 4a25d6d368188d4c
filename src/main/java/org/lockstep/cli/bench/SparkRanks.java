package org.lockstep.cli.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.lockstep.LockstepException;
import org.lockstep.spark.BarrierStage;
import org.lockstep.spark.failure.GangFailure;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/** Ranks as tasks of a barrier stage, made as every user makes them. */
public final class SparkRanks {
    private SparkRanks() {}

    /**
     * Measures, and reports when all is done.
     *
     * @throws LockstepException for what cannot run on this cluster, or the first cause that a rank failed of
     */
    public static void measure(
            JavaSparkContext spark, int ranks, BenchPlan plan, Consumer<? super Measurement> report) {
        List<Integer> parties = IntStream.range(0, ranks).boxed().toList();
        JavaRDD<Measurement> measurements = BarrierStage.over(spark.parallelize(parties, ranks))
                .with(ParallelSizes.tensor(ranks))
                .connecting(GroupKind.WORLD)
                .mapRanks((rank, rows) -> {
                    List<Measurement> mine = new ArrayList<>();
                    new Stopwatch(rank.world(), plan, mine::add).run();
                    return mine.iterator();
                });
        List<Measurement> all;
        try {
            all = measurements.collect();
        } catch (Exception e) { // Spark's own are checked, and undeclared
            throw GangFailure.of(e);
        }
        all.forEach(report);
    }
}
