package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.lockstep.collective.CommunicatorContract;
import org.lockstep.collective.Hellos;
import org.lockstep.collective.Identity;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.rendezvous.Rendezvous;
import org.lockstep.topology.ParallelSizes;

/** Two JVMs of one host and one of another, of a rank each or several: what the ranks of one group reach each other by differs. */
class EveryTransportCommunicatorTest extends CommunicatorContract {
    private static final int JVMS = 3;

    @Override
    protected LocalWorld world(int size) {
        return LocalWorld.of(size).withVenues(Math.min(JVMS, size));
    }

    /** Parties are dealt over the JVMs in turn; the last is the other host's. */
    @Override
    public Identity identity(Rendezvous rendezvous) {
        return rendezvous.index() % JVMS == JVMS - 1 ? Hellos.ofAnotherHost() : Identity.local();
    }

    @Test
    void oneGroupHasThemAll() {
        List<Set<TransportKind>> found = inWorld(4, WorldSpec.of(ParallelSizes.tensor(4)), world -> {
            Set<TransportKind> kinds = new TreeSet<>();
            for (int peer = 0; peer < 4; peer++) {
                if (peer != world.state().rank()) {
                    kinds.add(world.roster().transport(world.state().rank(), peer));
                }
            }
            return kinds;
        });
        assertThat(found)
                .filteredOn(kinds -> kinds.size() == TransportKind.values().length)
                .hasSize(2);
    }
}
