package org.lockstep.cli;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.lockstep.LockstepException;
import org.lockstep.spark.Preflight;
import org.lockstep.spark.preflight.Finding;
import org.lockstep.spark.preflight.Machine;

/**
 * The looks of {@code lockstep doctor}: first at the configuration; at the cluster only where that can be, for Spark would not
 * start, or wait for ever. Apart from its command, so that help needs no Spark.
 */
record DoctorRun(SparkRequest request, LaunchRequest launch, Screen screen) {

    Preflight.Checkup look() {
        CommandSession.sayWhatIsLeftAside(request, screen);
        List<Finding> found = new ArrayList<>(
                Preflight.ofConfiguration(CommandSession.conf(request), launch.sizes(), launch.ranks()));
        List<Machine> machines = new ArrayList<>();
        if (!Finding.anyFails(found)) {
            try {
                launch.checkWorld();
                lookAtCluster(found, machines);
            } catch (LockstepException refusal) {
                found.add(Finding.of(refusal));
            }
        }
        return new Preflight.Checkup(machines, found);
    }

    private void lookAtCluster(List<Finding> found, List<Machine> machines) {
        try (CommandSession session = CommandSession.open(request, screen)) {
            Preflight.Checkup cluster = Preflight.ofCluster(
                    session.spark(),
                    launch.sizes(),
                    launch.ranks(),
                    launch.model(),
                    Optional.ofNullable(launch.device().choice()),
                    () -> launch.on(session.spark()));
            machines.addAll(cluster.machines());
            found.addAll(cluster.findings());
        }
    }
}
