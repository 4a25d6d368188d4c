package org.lockstep.cli;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;
import org.lockstep.LockstepException;
import org.lockstep.spark.Preflight;
import org.lockstep.spark.preflight.Finding;
import org.lockstep.spark.preflight.Machine;
import org.lockstep.spark.settings.DeviceChoice;
import org.lockstep.topology.ParallelSizes;

/**
 * The looks of {@code lockstep doctor}: first at the configuration; at the cluster only where that can be, for Spark would not
 * start, or wait for ever. Apart from its command, so that help needs no Spark.
 */
record DoctorRun(SparkRequest request, Optional<DeviceChoice> device, Screen screen) {

    Preflight.Checkup look(ParallelSizes sizes, OptionalInt ranks, @Nullable String model) {
        List<Finding> found = new ArrayList<>(Preflight.ofConfiguration(CommandSession.conf(request), sizes, ranks));
        if (Finding.anyFails(found)) {
            return new Preflight.Checkup(List.of(), found);
        }
        List<Machine> machines = new ArrayList<>();
        try (CommandSession session = CommandSession.open(request, screen)) {
            Preflight.Checkup cluster = Preflight.ofCluster(session.spark(), sizes, ranks, model, device);
            machines.addAll(cluster.machines());
            found.addAll(cluster.findings());
        } catch (LockstepException refusal) {
            found.add(Finding.of(refusal));
        }
        return new Preflight.Checkup(machines, found);
    }
}
