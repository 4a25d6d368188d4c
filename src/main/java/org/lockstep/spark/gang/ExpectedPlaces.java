package org.lockstep.spark.gang;

import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.spark.SparkContext;
import org.apache.spark.SparkExecutorInfo;
import org.lockstep.collective.Identity;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.TransportPlan;
import org.lockstep.spark.preflight.TaskRequest;
import org.lockstep.spark.settings.Settings;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.Placement;
import org.lockstep.topology.ProcessGrid;

/**
 * Where the driver expects the ranks to run, and so how they would reach each other.
 *
 * <p>Under a local master it knows. On a cluster it sees the executors and their hosts, and Spark deals the tasks of a
 * barrier stage round-robin over them; where they have not the same number of slots it does not guess.
 */
public final class ExpectedPlaces {
    private final String title;
    private final Optional<TransportPlan> plan;

    private ExpectedPlaces(String title, Optional<TransportPlan> plan) {
        this.title = title;
        this.plan = plan;
    }

    /** What is expected of the executors that are there now, for tasks that ask for this. */
    public static ExpectedPlaces of(SparkContext spark, TaskRequest tasks, ProcessGrid grid) {
        Set<TransportKind> allowed = Settings.TRANSPORTS.in(spark.getConf());
        if (spark.isLocal()) {
            EnumSet<TransportKind> usable = EnumSet.copyOf(allowed);
            if (Identity.local().memory() == 0) {
                usable.remove(TransportKind.SHARED);
            }
            return new ExpectedPlaces("transports", Optional.of(plan(grid, List.of("localhost"), usable)));
        }
        List<String> hosts = executorHosts(spark);
        int slots = tasks.slots(spark);
        if (hosts.isEmpty() || slots % hosts.size() != 0 || hosts.size() * (slots / hosts.size()) < grid.worldSize()) {
            return new ExpectedPlaces("transports: known when the ranks have met", Optional.empty());
        }
        long machines = hosts.stream().distinct().count();
        String title = String.format(
                Locale.ROOT,
                "transports, expected of %s on %s",
                counted(hosts.size(), "executor"),
                counted(machines, "host"));
        return new ExpectedPlaces(title, Optional.of(plan(grid, hosts, allowed)));
    }

    private static String counted(long count, String noun) {
        return count + " " + noun + (count == 1 ? "" : "s");
    }

    /** Spark lists the driver among its executors: one of its host's entries is not an executor. */
    private static List<String> executorHosts(SparkContext spark) {
        List<String> hosts = new ArrayList<>(Stream.of(spark.statusTracker().getExecutorInfos())
                .map(SparkExecutorInfo::host)
                .sorted()
                .toList());
        hosts.remove(spark.getConf().get("spark.driver.host", ""));
        return hosts;
    }

    private static TransportPlan plan(ProcessGrid grid, List<String> executors, Set<TransportKind> allowed) {
        Placement placement = Placement.of(
                grid,
                IntStream.range(0, grid.worldSize())
                        .mapToObj(i -> {
                            int executor = i % executors.size();
                            return new Placement.Slot(
                                    executors.get(executor), String.format(Locale.ROOT, "%08d", executor), i);
                        })
                        .toList());
        return TransportPlan.of(grid, placement, Placement.Slot::device, allowed);
    }

    public String lines(List<GroupKind> kinds) {
        return plan.map(known -> known.lines(title, kinds)).orElse(title);
    }
}
