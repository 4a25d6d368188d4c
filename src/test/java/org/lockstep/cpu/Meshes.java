package org.lockstep.cpu;

import java.util.List;
import java.util.Set;
import org.lockstep.collective.Hello;
import org.lockstep.collective.Hellos;
import org.lockstep.collective.Roster;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.rendezvous.Rendezvous;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.ProcessGroup;
import org.lockstep.transport.Door;
import org.lockstep.transport.Listen;
import org.lockstep.transport.Mesh;
import org.lockstep.transport.Rhythm;

/** Groups of threads without a communicator, for what its algorithms say to each other. */
final class Meshes {
    private Meshes() {}

    /** One rank's part. */
    interface Part<T> {
        T on(Mesh mesh);
    }

    /** Runs {@code part} on every rank, results by party. */
    static <T> List<T> onEvery(int ranks, Part<T> part) {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(ranks)).withKinds(Set.of(GroupKind.WORLD));
        return LocalWorld.of(ranks).run(rendezvous -> on(rendezvous, spec, part));
    }

    private static <T> T on(Rendezvous rendezvous, WorldSpec spec, Part<T> part) {
        try (Door door = Door.open(rendezvous.venue(), spec, Listen.loopback(), Rhythm.DEFAULT)) {
            Hello hello = Hellos.of(spec, rendezvous.index(), 0, door.addresses(), door.port());
            Roster roster = Roster.of(rendezvous.allGather(hello.encode(spec.key())), spec);
            int rank = roster.rank(rendezvous.index());
            ProcessGroup group = roster.grid().group(GroupKind.WORLD, rank).orElseThrow();
            Door.Connected connected = door.connect(roster, rank, List.of(group));
            Mesh mesh = connected.mesh(group);
            T result = part.on(mesh);
            mesh.close();
            connected.end();
            return result;
        }
    }
}
