package org.lockstep.spark;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Supplier;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkContext;
import org.apache.spark.sql.SparkSession;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.spark.preflight.ClusterPreflight;
import org.lockstep.spark.preflight.ConfFindings;
import org.lockstep.spark.preflight.Finding;
import org.lockstep.spark.preflight.Machine;
import org.lockstep.spark.preflight.MachineFindings;
import org.lockstep.spark.preflight.MachineLook;
import org.lockstep.spark.settings.DeviceChoice;
import org.lockstep.spark.settings.Settings;
import org.lockstep.topology.ParallelSizes;

/**
 * All that is looked at before a launch, as a list for people; a launch makes the same checks and ends at the first that
 * fails.
 */
public final class Preflight {
    private Preflight() {}

    /** What the configuration alone tells, before Spark is started. */
    public static List<Finding> ofConfiguration(SparkConf conf, ParallelSizes sizes, OptionalInt ranks) {
        List<Finding> found = new ArrayList<>(ConfFindings.of(conf));
        if (!Finding.anyFails(found)) {
            look(found, () -> ClusterPreflight.checkSlots(conf, sizes, ranks));
        }
        return List.copyOf(found);
    }

    /**
     * What was seen and found.
     *
     * @param machines that ranks would run on, as far as they answered
     */
    public record Checkup(List<Machine> machines, List<Finding> findings) {
        public Checkup {
            machines = List.copyOf(machines);
            findings = List.copyOf(findings);
        }
    }

    /**
     * What a running application tells: its slots, its executors and their machines, the model and how it can be cut.
     *
     * @param model a Hugging Face directory; null for the bundled model
     * @param device that is asked for; empty for the configuration's
     * @param launch loads the description of that model with those sizes, and all else that a launch would set
     */
    public static Checkup ofCluster(
            SparkSession spark,
            ParallelSizes sizes,
            OptionalInt ranks,
            @Nullable String model,
            Optional<DeviceChoice> device,
            Supplier<Llm> launch) {
        List<Finding> found = new ArrayList<>();
        SparkContext context = ClusterPreflight.context(spark);
        look(found, () -> ClusterPreflight.check(context, sizes, ranks));
        List<Machine> machines = MachineLook.executors(context, model);
        int executors = Math.max(1, ClusterPreflight.executors(context)); // a local driver is one
        if (machines.size() < executors) {
            found.add(Finding.warn(
                    ErrorCode.EXECUTORS_DIFFER,
                    machines.size() + " of " + executors + " executors answered: the others had no free slot",
                    "look again when the application is idle"));
        }
        boolean fits = !Finding.anyFails(found);
        int world = fits ? ClusterPreflight.check(context, sizes, ranks) : executors;
        int there = context.isLocal() ? world : Math.max(1, world / executors);
        found.addAll(MachineFindings.of(
                machines,
                new MachineFindings.Want(
                        there,
                        device.orElseGet(() -> Settings.DEVICE.in(context.getConf())),
                        Settings.TRANSPORTS.in(context.getConf()))));
        for (Machine machine : machines) {
            machine.site().ofModel(model).ifPresent(found::add);
            if (fits) {
                machine.site().ofDescriptors(there, sizes.resolve(world), world).ifPresent(found::add);
            }
        }
        if (fits) {
            look(found, () -> found.add(fits(launch.get().plan())));
        }
        return new Checkup(machines, found);
    }

    private static Finding fits(Plan plan) {
        ParallelSizes sizes = plan.grid().sizes();
        return Finding.ok(
                ErrorCode.MODEL_SHAPE,
                String.format(
                        Locale.ROOT,
                        "%s on %,d ranks = tensor %d × pipeline %d × data %d; a replica: up to %d rows at once, %,d positions"
                                + " a row",
                        plan.model(),
                        plan.grid().worldSize(),
                        sizes.tp(),
                        sizes.pp(),
                        sizes.dp(),
                        plan.options().maxSequences(),
                        plan.options().maxModelLength()));
    }

    private static void look(List<Finding> found, Runnable check) {
        try {
            check.run();
        } catch (LockstepException refusal) {
            found.add(Finding.of(refusal));
        }
    }
}
