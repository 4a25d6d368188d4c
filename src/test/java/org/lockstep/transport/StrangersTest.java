package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.function.IntConsumer;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.lockstep.FaultCase;
import org.lockstep.LogLines;
import org.lockstep.collective.Roster;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.WorldSpec;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.ProcessGroup;

/**
 * Strangers who come while a rank waits for its peer (F30, F31): each is shown out, the log has one warning of them all, and the
 * peer, which comes after them, is let in.
 */
@Timeout(60)
class StrangersTest {
    private static final WorldSpec SPEC = WorldSpec.of(ParallelSizes.tensor(2))
            .withKinds(Set.of(GroupKind.WORLD))
            .withTransports(Set.of(TransportKind.TCP));
    private static final long GROUP = Verdict.groupId(ProcessGroup.of("world", 0, 0, 1));
    private static final int HALF_OPEN = 256;

    /** Longer than a test takes: who is shown out before was so for another reason. */
    private static final Duration LONG = Duration.ofMinutes(2);

    private static final Duration SHORT = Duration.ofSeconds(1);

    private final List<Stranger> strangers = new ArrayList<>();
    private Listeners door;
    private Listeners elsewhere;

    @BeforeEach
    void open() {
        door = Listeners.bind(Listen.loopback());
        elsewhere = Listeners.bind(Listen.loopback());
    }

    @AfterEach
    void close() {
        strangers.forEach(Stranger::close);
        door.close();
        elsewhere.close();
    }

    /** A connection that proves nothing. */
    private record Stranger(Socket socket) implements AutoCloseable {
        static Stranger at(int port) {
            try {
                return new Stranger(new Socket(InetAddress.getLoopbackAddress(), port));
            } catch (IOException noWay) {
                throw new UncheckedIOException(noWay);
            }
        }

        String address() {
            return socket.getLocalAddress().getHostAddress() + ":" + socket.getLocalPort();
        }

        /** Whether the other end still takes the words. */
        boolean says(byte[] words) {
            try {
                socket.getOutputStream().write(words);
                return true;
            } catch (IOException cutOff) {
                return false;
            }
        }

        /** Whether it is shown out, at the latest after so long. */
        boolean isOut(Duration limit) {
            try {
                socket.setSoTimeout((int) limit.toMillis());
                return socket.getInputStream().read() < 0;
            } catch (SocketTimeoutException stillIn) {
                return false;
            } catch (IOException reset) {
                return true;
            }
        }

        @Override
        public void close() {
            Sockets.closeQuietly(socket);
        }
    }

    /** What speaks to a port that it does not know. */
    private enum Speech {
        NOISE,
        HTTP,
        TLS,
        ZEROS;

        byte[] words() throws IOException {
            return switch (this) {
                case NOISE -> {
                    byte[] noise = new byte[100_000];
                    new Random(7).nextBytes(noise);
                    yield noise;
                }
                case HTTP ->
                    "GET / HTTP/1.1\r\nHost: here.example\r\nAccept: */*\r\nCookie: crumbs\r\n\r\n"
                            .getBytes(StandardCharsets.US_ASCII);
                case TLS -> clientHello();
                case ZEROS -> new byte[10_000_000];
            };
        }

        private static byte[] clientHello() throws IOException {
            try {
                SSLEngine client = SSLContext.getDefault().createSSLEngine();
                client.setUseClientMode(true);
                ByteBuffer hello = ByteBuffer.allocate(client.getSession().getPacketBufferSize());
                client.wrap(ByteBuffer.allocate(0), hello);
                byte[] words = new byte[hello.flip().remaining()];
                hello.get(words);
                return words;
            } catch (java.security.NoSuchAlgorithmException impossible) {
                throw new IllegalStateException("every Java platform has TLS", impossible);
            }
        }
    }

    private Links connect(int rank, Duration patience) {
        Roster roster = Rosters.of(SPEC, Listen.loopback().literals(), door.port(), elsewhere.port());
        Links links = new Links();
        new Handshakes(
                        roster,
                        rank,
                        SPEC,
                        rank == 0 ? door : elsewhere,
                        Set.of(new Links.Id(GROUP, 1 - rank)),
                        Rosters.fate(SPEC),
                        links::put,
                        Deadline.in(LONG),
                        patience)
                .run();
        return links;
    }

    /**
     * Rank 0 waits, with so much patience for each who comes; strangers visit its port; then rank 1 comes.
     *
     * @return the one line that is in the log after all this
     */
    private String warned(Duration patience, IntConsumer visit) {
        try (LogLines log = new LogLines(Guests.class)) {
            CompletableFuture<Links> waiting = CompletableFuture.supplyAsync(() -> connect(0, patience));
            visit.accept(door.port());
            assertThat(waiting).as("rank 0 waits on").isNotDone();
            Links caller = connect(1, LONG);
            Links waiter = waiting.join();
            assertThat(List.of(caller.count(), waiter.count())).containsExactly(1, 1);
            caller.close(null);
            waiter.close(null);
            assertThat(log.said()).as("one warning of all strangers").hasSize(1);
            return log.said().get(0);
        }
    }

    private Stranger stranger(int port) {
        Stranger came = Stranger.at(port);
        strangers.add(came);
        return came;
    }

    @ParameterizedTest
    @EnumSource
    @FaultCase("F31")
    void whoSpeaksAnotherProtocolIsShownOutAtItsHello(Speech speech) throws IOException {
        byte[] words = speech.words();
        assertThat(words).as("enough for a hello").hasSizeGreaterThanOrEqualTo(Handshake.HELLO_BYTES);
        String line = warned(LONG, port -> {
            stranger(port).says(words);
            assertThat(strangers.get(0).isOut(LONG)).isTrue();
        });
        assertThat(line)
                .isEqualTo("rank 0 refused a connection: " + strangers.get(0).address()
                        + " does not speak Lockstep's protocol");
    }

    /** A true hello, which a slow network might bring so, too. */
    @Test
    @FaultCase("F31")
    void whoSpeaksByteByByteIsCutWhenItsTimeIsUp() {
        byte[] hello = HandshakeTest.hello(SPEC.attempt(), 1, 0, GROUP, Handshake.DIALLER);
        int[] said = new int[1];
        String line = warned(SHORT, port -> {
            Stranger slow = stranger(port);
            do {
                slow.says(new byte[] {hello[said[0]++]});
            } while (!slow.isOut(SHORT.dividedBy(6)) && said[0] < hello.length);
        });
        assertThat(said[0]).as("bytes of a hello").isLessThan(hello.length);
        assertThat(line)
                .isEqualTo("rank 0 refused a connection: " + strangers.get(0).address()
                        + " did not prove itself in 1.0 s");
    }

    @Test
    @FaultCase("F30")
    void whoSaysNothingIsCutWhenItsTimeIsUp() {
        assertThat(Handshakes.PATIENCE).as("but for tests").isEqualTo(Duration.ofSeconds(5));
        String line = warned(SHORT, port -> {
            for (int i = 0; i < HALF_OPEN / 2; i++) {
                stranger(port);
            }
            assertThat(strangers).allMatch(idle -> idle.isOut(LONG));
        });
        assertThat(line).startsWith("rank 0 refused a connection: ").endsWith(" did not prove itself in 1.0 s");
    }

    @Test
    @FaultCase("F30")
    void ofAThousandWhoSayNothingTheLastFewAreKept() {
        String line = warned(LONG, port -> {
            for (int i = 0; i < 1000; i++) {
                stranger(port);
            }
            assertThat(strangers.subList(0, 1000 - HALF_OPEN)).allMatch(idle -> idle.isOut(LONG));
            assertThat(strangers.subList(1000 - HALF_OPEN, 1000)).noneMatch(idle -> idle.isOut(Duration.ofMillis(1)));
        });
        assertThat(line)
                .isEqualTo("rank 0 refused a connection: " + strangers.get(0).address()
                        + " was pushed out by 256 newer connections");
    }

    @Test
    @FaultCase("F30")
    void aThousandWhoComeAndGo() {
        String line = warned(LONG, port -> {
            for (int i = 0; i < 1000; i++) {
                Stranger.at(port).close();
            }
        });
        assertThat(line)
                .as("whichever was seen first: that they went, or how many there are")
                .matches("rank 0 refused a connection: 127\\.0\\.0\\.1:\\d+ "
                        + "(closed the connection during the hello|was pushed out by 256 newer connections)");
    }
}
