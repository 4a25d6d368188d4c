package org.lockstep.collective;

import java.util.List;
import java.util.Optional;
import org.lockstep.rendezvous.Venue;
import org.lockstep.tensor.Kernels;
import org.lockstep.topology.ParallelState;

/**
 * What a device brings to a rank: its kernels and its communicators. One to a rank; confined to its thread.
 */
public interface Backend extends AutoCloseable {
    /** For example {@code cpu}; ranks with different backends refuse each other. */
    String name();

    Kernels kernels();

    /** The GPU that no other rank drives, which peers then know this rank by; empty on a CPU and on a shared GPU. */
    default Optional<Identity.Gpu> gpu() {
        return Optional.empty();
    }

    /**
     * Opens before the meeting what peers must be told of in it: a listening address, this party's share of unique ids.
     *
     * @param venue of the meeting
     */
    Endpoint open(Venue venue, WorldSpec spec);

    /** Gives back everything this backend made that is still open. Idempotent. */
    @Override
    void close();

    /** A backend's side of the meeting: what it publishes, then what it makes of everybody's records. */
    interface Endpoint extends AutoCloseable {
        /** Addresses at which peers reach this party, best first, as IP literals; empty if it needs none. */
        List<String> addresses();

        /** The port they share; 0 if there is none. */
        int port();

        /**
         * This party's share of unique ids, for a backend whose library connects by them: those of groups {@code party},
         * {@code party + parties} and so on of the {@link GroupPlan}. Empty if it needs none.
         */
        default List<UniqueId> uniqueIds(int party, int parties) {
            return List.of();
        }

        /** Connects this rank's groups of the kinds that the spec asks for; the endpoint lives as long as they. */
        Communicators connect(Roster roster, ParallelState state);

        /**
         * The same, where buffers of a device travel too, by what {@code devices} makes.
         *
         * @throws UnsupportedOperationException if this backend's groups are of host memory alone
         */
        default Communicators connect(Roster roster, ParallelState state, Carriers devices) {
            throw new UnsupportedOperationException(this + " connects groups for host memory alone");
        }

        /** For a meeting that failed; after {@link #connect} the communicators own the endpoint. Idempotent. */
        @Override
        void close();
    }
}
