package org.lockstep.cli;

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.lockstep.cli.bench.BenchBackend;
import org.lockstep.cli.bench.BenchPlan;
import org.lockstep.cli.bench.Place;
import org.lockstep.cli.bench.RankSpec;
import org.lockstep.collective.TransportKind;
import org.lockstep.cuda.CudaOptions;
import org.lockstep.spark.settings.Settings;

/**
 * What {@code lockstep bench} was asked for.
 *
 * @param backend of the ranks
 * @param places of the ranks, one after the other
 * @param ranks of the group
 * @param transports that ranks may use besides TCP
 * @param limit for the measurements of one place
 * @param plan of the measurements
 * @param json whether results are JSON lines, and the tables elsewhere
 * @param master of Spark, null where none was given
 * @param conf of Spark
 * @param verbose whether Spark's log is shown
 */
record BenchRequest(
        BenchBackend backend,
        List<Place> places,
        int ranks,
        Set<TransportKind> transports,
        Duration limit,
        BenchPlan plan,
        boolean json,
        @Nullable String master,
        Map<String, String> conf,
        boolean verbose) {

    BenchRequest {
        places = List.copyOf(places);
        transports = Set.copyOf(transports);
        conf = Map.copyOf(conf);
    }

    SparkRequest spark() {
        Map<String, String> all = new HashMap<>(conf);
        all.putIfAbsent("spark.lockstep.collective.timeout", limit.toSeconds() + "s");
        all.putIfAbsent(
                "spark.lockstep.transports",
                Stream.concat(transports.stream(), Stream.of(TransportKind.TCP))
                        .distinct()
                        .map(TransportKind::toString)
                        .collect(Collectors.joining(",")));
        if (backend == BenchBackend.NCCL_SHARED) {
            all.putIfAbsent(Settings.NCCL_SHARED_GPU.key(), "true");
        }
        if (backend != BenchBackend.HOST) {
            all.putIfAbsent(Settings.GPU_CUBLAS.key(), CudaOptions.NO_CUBLAS); // nothing is multiplied
            all.put(Settings.GPU_PEER.key(), backend == BenchBackend.PEER ? "on" : "off");
        }
        return new SparkRequest("lockstep bench", master, ranks, all, verbose);
    }

    RankSpec rankSpec(Place place) {
        return new RankSpec(backend, ranks, place == Place.TCP ? Set.of() : transports, limit);
    }
}
