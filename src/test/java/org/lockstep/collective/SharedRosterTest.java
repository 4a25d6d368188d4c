package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.rendezvous.RendezvousException;
import org.lockstep.rendezvous.Venue;
import org.lockstep.topology.ParallelSizes;

@Timeout(60)
class SharedRosterTest {
    private static final WorldSpec SPEC = WorldSpec.of(ParallelSizes.tensor(2));

    private final Venue venue = new Venue();

    /** Records that are equal, but no two of them the same object. */
    private static List<String> records(WorldSpec spec, int parties) {
        List<String> records = new ArrayList<>();
        for (int i = 0; i < parties; i++) {
            records.add(hello(spec, i));
        }
        return records;
    }

    private static String hello(WorldSpec spec, int party) {
        Identity identity = new Identity("app", 0, 0, 77, 0, "host-a", null);
        return new Hello(
                        spec.attempt(),
                        "0.1.0",
                        identity,
                        party,
                        1,
                        "cpu",
                        List.of(),
                        0,
                        spec.sizes(),
                        spec.order(),
                        spec.settingsDigest(),
                        List.of())
                .encode(spec.key());
    }

    private static boolean isForgotten(Venue venue, WorldSpec spec) {
        String nothing = venue.shared(spec, Object.class, () -> "nothing").toString();
        venue.forget(spec);
        return nothing.equals("nothing");
    }

    @Test
    void thePartiesOfAVenueHaveOneRosterAndLeaveNothing() {
        SharedRoster first = SharedRoster.enter(venue, SPEC);
        SharedRoster second = SharedRoster.enter(venue, SPEC);
        Roster roster = first.of(records(SPEC, 4));
        first.close();
        first.close();
        assertThat(second.of(records(SPEC, 4))).isSameAs(roster);
        second.close();
        assertThat(isForgotten(venue, SPEC)).isTrue();
    }

    @Test
    void otherRecordsMakeAnotherRoster() {
        try (SharedRoster first = SharedRoster.enter(venue, SPEC);
                SharedRoster second = SharedRoster.enter(venue, SPEC)) {
            assertThat(first.of(records(SPEC, 4)).size()).isEqualTo(4);
            assertThat(second.of(records(SPEC, 2)).size()).isEqualTo(2);
        }
    }

    @Test
    void whoWasToldSomethingElseHasARoomOfItsOwn() {
        WorldSpec other = SPEC.newAttempt();
        try (SharedRoster first = SharedRoster.enter(venue, SPEC);
                SharedRoster second = SharedRoster.enter(venue, other)) {
            Roster roster = first.of(records(SPEC, 2));
            assertThat(second.of(records(other, 2))).isNotSameAs(roster);
        }
    }

    @Test
    void allHaveTheSameErrorAndItIsForgotten() {
        List<String> broken = records(SPEC, 3);
        try (SharedRoster first = SharedRoster.enter(venue, SPEC);
                SharedRoster second = SharedRoster.enter(venue, SPEC)) {
            RendezvousException mine = catchThrowableOfType(RendezvousException.class, () -> first.of(broken));
            RendezvousException others =
                    catchThrowableOfType(RendezvousException.class, () -> second.of(records(SPEC, 3)));
            assertThat(others).hasMessage(mine.getMessage()).hasMessageContaining("world size (3)");
        }
        assertThat(isForgotten(venue, SPEC)).isTrue();
    }

    @Test
    void aLateComerBeginsAnew() {
        try (SharedRoster first = SharedRoster.enter(venue, SPEC)) {
            first.of(records(SPEC, 2));
        }
        try (SharedRoster late = SharedRoster.enter(venue, SPEC)) {
            assertThat(late.of(records(SPEC, 2)).size()).isEqualTo(2);
        }
        assertThat(isForgotten(venue, SPEC)).isTrue();
    }

    @Test
    void threadsThatMeetHaveOneRosterAVenue() {
        List<Roster> rosters = LocalWorld.of(8).withVenues(2).run(rendezvous -> {
            try (SharedRoster shared = SharedRoster.enter(rendezvous.venue(), SPEC)) {
                Roster roster = shared.of(rendezvous.allGather(hello(SPEC, rendezvous.index())));
                assertThat(roster.size()).isEqualTo(8);
                return roster;
            }
        });
        assertThat(rosters.stream().map(System::identityHashCode).distinct()).hasSize(2);
    }
}
