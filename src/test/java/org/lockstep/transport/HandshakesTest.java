package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.net.InetAddress;
import java.net.SocketAddress;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.ErrorCode;
import org.lockstep.LongEnough;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Hello;
import org.lockstep.collective.Hellos;
import org.lockstep.collective.Roster;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.Venue;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.ProcessGroup;

/** How long a rank knocks at the doors of its peers, and what it says when it gives up. */
@Timeout(60)
class HandshakesTest {
    private static final WorldSpec SPEC = WorldSpec.of(ParallelSizes.tensor(2))
            .withKinds(Set.of(GroupKind.WORLD))
            .withTransports(Set.of(TransportKind.TCP))
            .withMeetingTimeout(Duration.ofSeconds(25));
    private static final ProcessGroup GROUP = ProcessGroup.of("world", 0, 0, 1);
    private static final Duration PATIENCE = Duration.ofMillis(100);

    private final List<Listeners> doors = new ArrayList<>();

    @BeforeEach
    void open() throws Exception {
        for (int rank = 0; rank < 2; rank++) {
            Listeners door = Listeners.bind(Listen.loopback());
            doors.add(door);
        }
    }

    @AfterEach
    void close() throws Exception {
        for (Listeners door : doors) {
            door.close();
        }
    }

    private static Roster roster(boolean oneVenue, int port0, int port1) {
        List<String> records = new ArrayList<>();
        for (int rank = 0; rank < 2; rank++) {
            Hello hello = Hellos.of(
                    SPEC,
                    rank,
                    oneVenue ? 0 : rank,
                    List.of(InetAddress.getLoopbackAddress().getHostAddress()),
                    rank == 0 ? port0 : port1);
            records.add(hello.encode(SPEC.key()));
        }
        return Roster.of(records, SPEC);
    }

    private int port(int rank) {
        return doors.get(rank).port();
    }

    private Links connect(int rank, Duration limit, Duration patience) {
        return connect(rank, Set.of(new Links.Id(Verdict.groupId(GROUP), 1 - rank)), limit, patience);
    }

    private Links connect(int rank, Set<Links.Id> wanted, Duration limit, Duration patience) {
        Links links = new Links();
        new Handshakes(
                        roster(false, port(0), port(1)),
                        rank,
                        SPEC,
                        doors.get(rank),
                        wanted,
                        Fate.of(new Venue(), SPEC.attempt(), 1),
                        links::put,
                        Deadline.in(limit),
                        patience)
                .run();
        return links;
    }

    @Test
    void silenceIsWaitedForUntilTheDeadline() throws Exception {
        LongEnough.oneOf(Duration.ofMillis(1500), Duration.ofSeconds(20), limit -> {
            long start = System.nanoTime();
            CommunicatorException failure =
                    catchThrowableOfType(CommunicatorException.class, () -> connect(1, limit, PATIENCE));
            assertThat(failure.code()).isEqualTo(ErrorCode.RENDEZVOUS_TIMEOUT);
            assertThat(failure)
                    .hasMessageContaining("rank 1 has no connection to ranks [0] after " + Deadline.in(limit))
                    .hasMessageContaining("rank 0 did not answer for 0.1 s");
            assertThat(System.nanoTime() - start).isGreaterThanOrEqualTo(limit.toNanos());
        });
    }

    /** Strangers are pushed out by strangers, not those of whom so many are awaited. */
    @ParameterizedTest
    @CsvSource({"1, true", "200, false"})
    void asManyConnectionsAsAreAwaitedMayWaitForTheirProof(int awaited, boolean pushedOut) throws Exception {
        Set<Links.Id> wanted = LongStream.range(0, awaited)
                .mapToObj(group -> new Links.Id(group, 1))
                .collect(Collectors.toSet());
        List<SocketChannel> unproven = new ArrayList<>();
        try {
            SocketAddress door = doors.get(0).channels().get(0).getLocalAddress();
            LongEnough.oneOf(Duration.ofMillis(1500), Duration.ofSeconds(20), limit -> {
                for (int i = 0; i < 300; i++) {
                    unproven.add(SocketChannel.open(door));
                }
                CommunicatorException failure = catchThrowableOfType(
                        CommunicatorException.class, () -> connect(0, wanted, limit, Duration.ofMinutes(1)));
                assertThat(failure.code()).isEqualTo(ErrorCode.RENDEZVOUS_TIMEOUT);
                assertThat(failure.getMessage().contains("was pushed out by 256 newer connections"))
                        .isEqualTo(pushedOut);
            });
        } finally {
            for (SocketChannel each : unproven) {
                each.close();
            }
        }
    }

    @Test
    void aPeerThatComesLateIsLetIn() throws Exception {
        CompletableFuture<Links> caller =
                CompletableFuture.supplyAsync(() -> connect(1, Duration.ofSeconds(20), Duration.ofMillis(200)));
        assertThatThrownBy(() -> caller.get(2500, TimeUnit.MILLISECONDS))
                .as("more silence than refusals would be borne")
                .isInstanceOf(TimeoutException.class);
        Links slow = connect(0, Duration.ofSeconds(20), Duration.ofSeconds(5));
        assertThat(slow.count()).isEqualTo(1);
        Links links = caller.get();
        assertThat(links.count()).isEqualTo(1);
        slow.close(null);
        links.close(null);
    }

    /** Also where it is shut before the caller knows that it is through. */
    @RepeatedTest(50)
    void aDoorThatIsShutEveryTimeEndsTheWaitSoon() throws Exception {
        CompletableFuture<CommunicatorException> caller = CompletableFuture.supplyAsync(() -> catchThrowableOfType(
                CommunicatorException.class, () -> connect(1, Duration.ofSeconds(20), Duration.ofSeconds(5))));
        Awaitility.await()
                .atMost(Duration.ofSeconds(30))
                .pollInterval(Duration.ofMillis(1))
                .until(() -> {
                    SocketChannel came = doors.get(0).channels().get(0).accept();
                    if (came != null) {
                        came.close();
                    }
                    return caller.isDone();
                });
        assertThat(caller.get()).hasMessageContaining("lets rank 1 not in");
        assertThat(caller.get().code()).isEqualTo(ErrorCode.UNAUTHENTICATED);
    }

    @Test
    void closingTheDoorEndsARankThatConnects() throws Exception {
        Door door = Door.open(new Venue(), SPEC, Listen.loopback(), Rhythm.DEFAULT);
        Roster roster = roster(false, port(0), door.port());
        CompletableFuture<CommunicatorException> rank = CompletableFuture.supplyAsync(() -> catchThrowableOfType(
                CommunicatorException.class,
                () -> door.connect(roster, 1, List.of(roster.grid().state(1).worldGroup()))));
        assertThatThrownBy(() -> rank.get(300, TimeUnit.MILLISECONDS))
                .as("it connects")
                .isInstanceOf(TimeoutException.class);
        door.close();
        CommunicatorException failure = rank.get(30, TimeUnit.SECONDS);
        assertThat(failure.code()).isEqualTo(ErrorCode.ABORTED);
        assertThat(failure).hasMessageContaining("closed while");
    }
}
