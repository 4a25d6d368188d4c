package org.lockstep.rendezvous;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.time.Duration;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.ErrorCode;
import org.lockstep.LongEnough;

@Timeout(30)
class LocalWorldTest {
    @AfterEach
    void noThreadIsLeft() {
        assertThat(Thread.getAllStackTraces().keySet())
                .extracting(Thread::getName)
                .noneMatch(name -> name.startsWith("lockstep-party"));
    }

    @Test
    void everyPartyHearsEveryRecordByIndex() {
        List<List<String>> heard =
                LocalWorld.of(5).run(rendezvous -> rendezvous.allGather("party " + rendezvous.index()));
        assertThat(heard).hasSize(5).allMatch(each -> each.equals(heard.get(0)));
        assertThat(heard.get(0)).containsExactly("party 0", "party 1", "party 2", "party 3", "party 4");
    }

    @Test
    void resultsComeByIndexAndMayBeNull() {
        assertThat(LocalWorld.of(3)
                        .run(rendezvous -> rendezvous.index() == 1 ? null : rendezvous.index() + rendezvous.size()))
                .containsExactly(3, null, 5);
    }

    @Test
    void partiesAreDealtRoundRobinOverVenues() {
        List<UUID> venues = LocalWorld.of(5)
                .withVenues(2)
                .run(rendezvous -> rendezvous.venue().id());
        assertThat(venues.get(0))
                .isEqualTo(venues.get(2))
                .isEqualTo(venues.get(4))
                .isNotEqualTo(venues.get(1));
        assertThat(venues.get(1)).isEqualTo(venues.get(3));
        assertThatThrownBy(() -> LocalWorld.of(2).withVenues(3)).hasMessageContaining("venues (3)");
        assertThatThrownBy(() -> LocalWorld.of(0)).hasMessageContaining("parties (0)");
    }

    @Test
    void aPartyThatFailsBeforeItCameReleasesTheOthers() {
        IllegalStateException cause = new IllegalStateException("no GPU here");
        Throwable thrown = catchThrowable(
                () -> LocalWorld.of(4).withGrace(Duration.ofSeconds(20)).run(rendezvous -> {
                    if (rendezvous.index() == 2) {
                        throw cause;
                    }
                    return rendezvous.allGather("here");
                }));
        assertThat(thrown).isSameAs(cause);
        assertThat(thrown.getSuppressed()).hasSize(3).allSatisfy(each -> {
            assertThat(each).isInstanceOf(RendezvousException.class);
            assertThat(((RendezvousException) each).code()).isEqualTo(ErrorCode.RENDEZVOUS_FAILED);
            assertThat(each)
                    .hasMessageContaining("party 2 failed before it came")
                    .hasMessageContaining("no GPU here");
        });
    }

    @Test
    void aPartyThatStaysAwayReleasesTheOthers() {
        assertThatThrownBy(() -> LocalWorld.of(3)
                        .run(rendezvous -> rendezvous.index() == 0 ? List.of() : rendezvous.allGather("here")))
                .isInstanceOf(RendezvousException.class)
                .hasMessageContaining("party 0 ended without coming");
    }

    @Test
    void comingTwiceIsRefused() {
        assertThatThrownBy(() -> LocalWorld.of(1).run(rendezvous -> {
                    rendezvous.allGather("once");
                    return rendezvous.allGather("twice");
                }))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("second time");
    }

    @Test
    void aCheckedFailureIsTheCause() {
        assertThatThrownBy(() -> LocalWorld.of(1).run(rendezvous -> {
                    throw new IOException("disk");
                }))
                .isInstanceOf(RendezvousException.class)
                .hasCauseInstanceOf(IOException.class);
    }

    @Test
    void theDeadlineNamesWhoStillRunsAndInterruptsIt() throws Exception {
        CountDownLatch never = new CountDownLatch(1);
        LongEnough.oneOf(
                Duration.ofSeconds(1),
                Duration.ofSeconds(20),
                limit -> assertThatThrownBy(() -> LocalWorld.of(3)
                                .withDeadline(limit) // in which the others end
                                .run(rendezvous -> {
                                    if (rendezvous.index() == 1) {
                                        never.await();
                                    }
                                    return 0;
                                }))
                        .isInstanceOf(RendezvousException.class)
                        .hasMessageContaining("RENDEZVOUS_TIMEOUT")
                        .hasMessageContaining(" in " + limit.toSeconds() + ".0 s")
                        .hasMessageContaining("parties 1 still run"));
    }

    @Test
    void afterAFailureStragglersAreInterrupted() {
        CountDownLatch never = new CountDownLatch(1);
        assertThatThrownBy(() -> LocalWorld.of(2)
                        .withGrace(Duration.ofMillis(50))
                        .run(rendezvous -> {
                            rendezvous.allGather("here");
                            if (rendezvous.index() == 1) {
                                throw new IllegalArgumentException("first");
                            }
                            never.await();
                            return 0;
                        }))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("first");
    }

    @Test
    void aVenueThatTravelsIsAnotherOne() throws Exception {
        Venue venue = new Venue();
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(venue);
        }
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
            assertThat(((Venue) in.readObject()).id()).isNotEqualTo(venue.id());
        }
        Object made = venue.shared("key", Object.class, Object::new);
        assertThat(venue.shared("key", Object.class, Object::new)).isSameAs(made);
        venue.forget("key");
        assertThat(venue.shared("key", Object.class, Object::new)).isNotSameAs(made);
    }
}
