package org.lockstep.cli;

import java.time.Duration;
import java.util.List;
import java.util.Set;
import org.lockstep.cli.bench.BenchPlan;
import org.lockstep.cli.bench.Place;
import org.lockstep.cli.bench.RankSpec;

/**
 * What {@code lockstep bench} was asked for.
 *
 * @param places of the ranks, one after the other
 * @param ranks of the group
 * @param transports that JVMs may use; empty for all there are
 * @param limit for the measurements of one place
 * @param plan of the measurements
 * @param json whether results are JSON lines, and the tables elsewhere
 * @param verbose whether Spark's log is shown
 */
record BenchRequest(
        List<Place> places,
        int ranks,
        Set<String> transports,
        Duration limit,
        BenchPlan plan,
        boolean json,
        boolean verbose) {

    BenchRequest {
        places = List.copyOf(places);
        transports = Set.copyOf(transports);
    }

    RankSpec rankSpec(Place place) {
        return new RankSpec(ranks, place == Place.TCP ? Set.of("tcp") : transports, limit);
    }
}
