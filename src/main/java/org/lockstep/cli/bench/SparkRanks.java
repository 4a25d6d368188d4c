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
import org.lockstep.spark.settings.DeviceChoice;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/** Ranks as tasks of a barrier stage, made as every user makes them. */
public final class SparkRanks {
    private SparkRanks() {}

    /**
     * Measures, and reports when all is done. Devices are those that the configuration gives the ranks.
     *
     * @throws LockstepException for what cannot run on this cluster, or the first cause that a rank failed of
     */
    public static void measure(
            JavaSparkContext spark,
            BenchBackend backend,
            int ranks,
            BenchPlan plan,
            Consumer<? super Measurement> report) {
        List<Integer> parties = IntStream.range(0, ranks).boxed().toList();
        JavaRDD<Measurement> measurements = BarrierStage.over(spark.parallelize(parties, ranks))
                .with(ParallelSizes.tensor(ranks))
                .connecting(GroupKind.WORLD)
                .on(backend == BenchBackend.HOST ? DeviceChoice.CPU : DeviceChoice.CUDA)
                .mapRanks((rank, rows) -> {
                    List<Measurement> mine = new ArrayList<>();
                    new Stopwatch(rank.world(), rank.kernels(), backend, plan, mine::add).run();
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
