package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CyclicBarrier;
import org.lockstep.ErrorCode;
import org.lockstep.LongEnough;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.rendezvous.Rendezvous;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/** Runs a test's part on every rank of a world. */
public interface Ranks {
    /** Parties in as many pretended JVMs as the transport under test needs. */
    LocalWorld localWorld(int size);

    /** How ranks may reach each other. */
    default Set<TransportKind> transports() {
        return Set.of(TransportKind.values());
    }

    /** What a rank computes on, and with it what connects its groups. */
    default Backend backend(Rendezvous rendezvous) {
        return CpuBackend.create();
    }

    /** Where a rank is, as far as its peers can tell: all on this host. */
    default Identity identity(Rendezvous rendezvous) {
        return Identity.local();
    }

    /** With the time of operations that ranks disagree on: as usual, where they are told without its running out. */
    default void whileTheyHang(LongEnough.Check check) throws Exception {
        check.with(OperationTerms.DEFAULT.timeout());
    }

    /** Whether they hide from others what they send over sockets. */
    default boolean encrypts() {
        return false;
    }

    /** One rank's part, with what it needs of its world. */
    interface Part<S, T> {
        T run(S subject) throws Exception;
    }

    /** Runs {@code part} on every rank of a world of {@code size}, results by rank in group. */
    default <T> List<T> onEvery(int size, Part<Communicator, T> part) {
        return onEvery(size, WorldSpec.of(ParallelSizes.tensor(size)), part);
    }

    default <T> List<T> onEvery(int size, WorldSpec spec, Part<Communicator, T> part) {
        WorldSpec one = spec.withKinds(Set.of(GroupKind.WORLD));
        return inWorld(size, one, world -> part.run(world.communicators().world()));
    }

    /** Runs {@code part} on every rank of a world, results by rank. */
    default <T> List<T> inWorld(int size, WorldSpec spec, Part<World, T> part) {
        record Placed<T>(int rank, T value) {}
        WorldSpec allowed = spec.withTransports(transports()).withEncryption(encrypts());
        CyclicBarrier connected = new CyclicBarrier(size); // a failure of one shall not meet another still connecting
        List<Placed<T>> results = localWorld(size).run(rendezvous -> {
            try (Backend backend = backend(rendezvous);
                    World world = World.join(rendezvous, backend, allowed, identity(rendezvous))) {
                connected.await();
                return new Placed<>(world.state().rank(), part.run(world));
            }
        });
        return results.stream()
                .sorted(Comparator.comparingInt(Placed::rank))
                .map(Placed::value)
                .toList();
    }

    default List<CommunicatorException> failuresOf(int size, Part<Communicator, ?> part) {
        return failuresOf(size, WorldSpec.of(ParallelSizes.tensor(size)), part);
    }

    default List<CommunicatorException> failuresOf(int size, WorldSpec spec, Part<Communicator, ?> part) {
        return onEvery(
                size,
                spec,
                communicator -> catchThrowableOfType(CommunicatorException.class, () -> part.run(communicator)));
    }

    static void assertAll(List<CommunicatorException> failures, ErrorCode code, String... texts) {
        for (CommunicatorException failure : failures) {
            assertThat(failure).isNotNull();
            assertThat(failure.code()).as(failure.getMessage()).isEqualTo(code);
            assertThat(failure.getMessage()).contains(texts);
        }
    }
}
