package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.LogLines;
import org.lockstep.collective.Roster;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.WorldSpec;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.ProcessGroup;

/** Two ranks that had no connection to each other until one of them, or both, first needed it. */
@Timeout(60)
class DoorkeeperTest {
    private static final WorldSpec SPEC = WorldSpec.of(ParallelSizes.tensor(2))
            .withKinds(Set.of(GroupKind.WORLD))
            .withTransports(Set.of(TransportKind.TCP));
    private static final ProcessGroup GROUP = ProcessGroup.of("world", 0, 0, 1);
    private static final int HALF_OPEN = 256;

    private final List<Side> sides = new ArrayList<>();

    /** One rank, whose door is kept by the thread of the test. */
    private static final class Side implements AutoCloseable {
        private final int me;
        private final Links links = new Links();
        private final Listeners door = Listeners.bind(Listen.loopback());
        private final Selector selector;
        private Doorkeeper keeper;

        Side(int me) throws IOException {
            this.me = me;
            this.selector = Selector.open();
        }

        Links.Id link() {
            return new Links.Id(Verdict.groupId(GROUP), 1 - me);
        }

        void begin(Roster roster) throws IOException {
            keeper = new Doorkeeper(roster, me, SPEC, door, Set.of(link()), links);
            keeper.begin(selector);
        }

        void want() {
            links.want(link(), () -> {});
        }

        boolean turn() throws IOException {
            selector.select(1);
            assertThat(Thread.currentThread().isInterrupted())
                    .as("the time of the test is over")
                    .isFalse();
            for (SelectionKey ready : selector.selectedKeys()) {
                ((OnReady) ready.attachment()).proceed(ready);
            }
            selector.selectedKeys().clear();
            return keeper.turn();
        }

        @Override
        public void close() throws IOException {
            links.close(null);
            keeper.close();
            selector.close();
        }
    }

    @BeforeEach
    void open() throws IOException {
        sides.add(new Side(0));
        sides.add(new Side(1));
        Roster roster = Rosters.of(
                SPEC,
                Listen.loopback().literals(),
                sides.get(0).door.port(),
                sides.get(1).door.port());
        for (Side side : sides) {
            side.begin(roster);
        }
    }

    @AfterEach
    void close() throws IOException {
        for (Side side : sides) {
            side.close();
        }
    }

    private void turnUntil(BooleanSupplier done) throws IOException {
        while (!done.getAsBoolean()) {
            for (Side side : sides) {
                assertThat(side.turn()).isTrue();
            }
        }
    }

    private boolean areLinked() {
        return sides.stream().allMatch(side -> side.links.has(side.link()));
    }

    private void assertOneConnection() throws IOException {
        Links.Proven one = sides.get(0).links.take(sides.get(0).link());
        Links.Proven other = sides.get(1).links.take(sides.get(1).link());
        assertThat(one.channel().getLocalAddress()).isEqualTo(other.channel().getRemoteAddress());
        assertThat(one.channel().getRemoteAddress()).isEqualTo(other.channel().getLocalAddress());
        Sockets.closeQuietly(one.channel());
        Sockets.closeQuietly(other.channel());
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void whoNeedsItFirstCalls(int first) throws IOException {
        sides.get(first).want();
        turnUntil(this::areLinked);
        assertOneConnection();
    }

    /** In whatever state the other's call is by then. */
    @RepeatedTest(12)
    void whereBothCallOneConnectionIsMade(org.junit.jupiter.api.RepetitionInfo repetition) throws IOException {
        int turns = (repetition.getCurrentRepetition() - 1) / 2;
        int first = repetition.getCurrentRepetition() % 2;
        sides.get(first).want();
        for (int turn = 0; turn < turns; turn++) {
            sides.get(turn % 2).turn();
        }
        sides.get(1 - first).want();
        turnUntil(this::areLinked);
        assertOneConnection();
        turnUntil(() -> sides.stream().noneMatch(side -> side.keeper.isBusy())); // no call is left
    }

    @Test
    void whoIsGoneIsToldAsSuch() throws IOException {
        Side left = sides.get(1);
        left.links.close(null);
        while (left.turn()) {
            // until it has let go
        }
        left.selector.selectNow(); // as who keeps doors does all the time
        Side waiting = sides.get(0);
        TcpLinks links = new TcpLinks(GROUP, 0, waiting.links, () -> {}, Duration.ZERO);
        try (Selector selector = links.selector()) {
            assertThat(links.link(1)).isNull();
            while (waiting.links.failure(waiting.link()) == null) {
                waiting.turn();
            }
            Verdict verdict =
                    catchThrowableOfType(Failed.class, () -> links.link(1)).verdict();
            assertThat(verdict.code()).isEqualTo(ErrorCode.PEER_LOST);
            assertThat(verdict.culprit()).isEqualTo(1);
            assertThat(verdict.text()).contains("rank 1 cannot be reached").contains("port " + left.door.port());
        }
    }

    /** Its kernel takes connections, but nobody there says a word; what the operation turns out to move has its time too. */
    @ParameterizedTest
    @CsvSource({"300, 0", "100, 200"})
    void whoIsFrozenIsNamedWhenTheTimeIsOver(long millis, long more) throws IOException {
        Side waiting = sides.get(0);
        TcpLinks sockets = new TcpLinks(GROUP, 0, waiting.links, () -> {}, Duration.ZERO);
        Pause pause = new Pause(0, false, null, sockets.selector(), true, sockets::awaitReadiness);
        LinkSet links = new LinkSet(
                GROUP,
                0,
                peer -> {
                    turn(waiting);
                    return sockets.link(peer);
                },
                Rosters.fate(SPEC),
                pause,
                orderly -> {});
        long start = System.nanoTime();
        links.begin("send", Duration.ofMillis(millis), Duration::ofMillis);
        links.moves(more);
        Verdict verdict =
                catchThrowableOfType(Failed.class, () -> links.link(1)).verdict();
        links.abort(verdict);
        assertThat(Duration.ofNanos(System.nanoTime() - start)).isGreaterThanOrEqualTo(Duration.ofMillis(300));
        assertThat(verdict.code()).isEqualTo(ErrorCode.COLLECTIVE_TIMEOUT);
        assertThat(verdict.culprit()).isEqualTo(1);
        assertThat(verdict.text()).contains("send in world").contains("not complete in 0.3 s: rank 1 did not come");
    }

    private static void turn(Side side) {
        try {
            side.turn();
        } catch (IOException failure) {
            throw new IllegalStateException(failure);
        }
    }

    /** The door of a run is no larger than that of a meeting. */
    @Test
    @FaultCase({"F30", "F31"})
    void strangersKeepNobodyOut() throws IOException {
        Side visited = sides.get(0);
        List<Socket> strangers = new ArrayList<>();
        try (LogLines log = new LogLines(Guests.class)) {
            for (int i = 0; i < 2 * HALF_OPEN; i++) {
                Socket stranger = new Socket(InetAddress.getLoopbackAddress(), visited.door.port());
                strangers.add(stranger);
                if (i % 3 == 0) {
                    stranger.getOutputStream().write(new byte[Handshake.HELLO_BYTES]);
                }
                visited.turn();
            }
            sides.get(1).want();
            turnUntil(this::areLinked);
            assertOneConnection();
            assertThat(log.said()).as("one warning of all strangers").hasSize(1);
        } finally {
            for (Socket stranger : strangers) {
                stranger.close();
            }
        }
    }

    /** Whoever claims to be a rank is believed after the proof only, and then where it may be needed only. */
    @Test
    @FaultCase("F33")
    void noClaimTakesAPlace() throws IOException {
        Side visited = sides.get(0);
        try (Socket stranger = new Socket(InetAddress.getLoopbackAddress(), visited.door.port())) {
            byte[] hello =
                    HandshakeTest.hello(SPEC.attempt(), 1, 0, visited.link().group(), Handshake.DIALLER);
            stranger.getOutputStream().write(hello);
            while (!visited.keeper.isBusy()) {
                visited.turn();
            }
            visited.want();
            turnUntil(this::areLinked);
            assertOneConnection();
        }
    }
}
