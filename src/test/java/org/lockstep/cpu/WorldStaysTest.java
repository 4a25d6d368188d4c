package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.lockstep.ErrorCode;
import org.lockstep.Left;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Identity;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.rendezvous.RendezvousException;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ParallelSizes;

/** A world that outlives the threads which connected it, and what becomes of it at the next meeting. */
@Timeout(60)
class WorldStaysTest {
    private static final int RANKS = 4;

    static Stream<Arguments> worlds() {
        return Stream.of(
                Arguments.of(1, Set.of(TransportKind.THREAD)),
                Arguments.of(4, Set.of(TransportKind.SHARED)),
                Arguments.of(4, Set.of(TransportKind.TCP)),
                Arguments.of(2, Set.of(TransportKind.THREAD, TransportKind.TCP)));
    }

    private static WorldSpec spec(Set<TransportKind> transports) {
        return WorldSpec.of(ParallelSizes.tensor(2).withPipeline(2)).withTransports(transports);
    }

    /** A meeting of threads of its own; each brings what is at its place. */
    private static List<World> meet(int venues, WorldSpec spec, List<? extends @Nullable World> brought) {
        return LocalWorld.of(RANKS).withVenues(venues).run(rendezvous -> {
            CpuBackend backend = CpuBackend.create();
            World world = World.join(rendezvous, backend, spec, Identity.local(), brought.get(rendezvous.index()));
            int rank = world.state().rank();
            HostBuffer sum = Buffer.ofInts(1 << rank);
            world.communicators().model().allReduce(sum, ReduceOp.SUM);
            assertThat(sum.toInts()).containsExactly(15);
            HostBuffer pair = Buffer.ofInts(rank);
            world.communicators().tensor().allReduce(pair, ReduceOp.MAX);
            assertThat(pair.toInts()).containsExactly(rank | 1);
            return world;
        });
    }

    private static List<World> meet(int venues, WorldSpec spec) {
        return meet(venues, spec, Collections.nCopies(RANKS, null));
    }

    @ParameterizedTest(name = "{0} JVMs over {1}")
    @MethodSource("worlds")
    void goesOnWithThePartiesThatBringIt(int venues, Set<TransportKind> transports) throws Exception {
        meet(venues, spec(transports)).forEach(World::close); // what is made once and for all
        Left before = Left.now();
        meetThreeTimes(venues, transports);
        await().atMost(Duration.ofSeconds(20)).untilAsserted(() -> Left.now().requireNoMoreThan(before));
    }

    private static void meetThreeTimes(int venues, Set<TransportKind> transports) {
        List<World> first = meet(venues, spec(transports));
        List<World> turned = new ArrayList<>(first);
        Collections.rotate(turned, 1); // a task's partition has nothing to do with the rank that it finds

        List<World> second = meet(venues, spec(transports), turned);

        for (int i = 0; i < RANKS; i++) {
            assertThat(first.get(i).isResumed()).isFalse();
            assertThat(second.get(i).isResumed()).isTrue();
            assertThat(second.get(i).connectTime()).isZero();
            assertThat(second.get(i).state()).isEqualTo(turned.get(i).state());
            assertThat(second.get(i).communicators()).isSameAs(turned.get(i).communicators());
        }
        List<World> third = meet(venues, spec(transports), second);
        assertThat(third).allMatch(World::isResumed);
        third.forEach(World::close);
    }

    @ParameterizedTest(name = "{0} JVMs over {1}")
    @MethodSource("worlds")
    void endsEverywhereWhereARankIsMissing(int venues, Set<TransportKind> transports) {
        List<World> first = meet(venues, spec(transports));
        List<World> other = meet(venues, spec(transports));
        List<@Nullable World> some = new ArrayList<>(first);
        some.set(2, null);
        List<World> fresh = meet(venues, spec(transports), some);
        assertThat(fresh).noneMatch(World::isResumed);
        await().atMost(Duration.ofSeconds(10))
                .untilAsserted(() -> assertThat(first).noneMatch(World::isAlive));
        assertThatThrownBy(() -> first.get(2).communicators().world().barrier())
                .isInstanceOfSatisfying(
                        CommunicatorException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.ABORTED))
                .hasMessageContaining("next meeting");

        List<World> mixed = new ArrayList<>(fresh);
        mixed.set(0, other.get(0)); // all ranks are there, of two worlds
        List<World> last = meet(venues, spec(transports), mixed);
        assertThat(last).noneMatch(World::isResumed).allMatch(World::isAlive);
        for (List<World> all : List.of(first, other, fresh, last)) {
            all.forEach(World::close);
        }
    }

    @ParameterizedTest(name = "{0} JVMs over {1}")
    @MethodSource("worlds")
    void whoDoesNotAgreeDoesNotGoOnEither(int venues, Set<TransportKind> transports) {
        WorldSpec spec = spec(transports);
        List<World> first = meet(venues, spec);
        assertThatThrownBy(() -> LocalWorld.of(RANKS).withVenues(venues).run(rendezvous -> {
                    WorldSpec mine =
                            rendezvous.index() == 1 ? spec.withSettings(java.util.Map.of("options", "others")) : spec;
                    return World.join(
                            rendezvous, CpuBackend.create(), mine, Identity.local(), first.get(rendezvous.index()));
                }))
                .isInstanceOfSatisfying(
                        RendezvousException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.DISAGREEMENT));
        first.forEach(World::close);
    }
}
