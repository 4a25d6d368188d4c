package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CyclicBarrier;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.FaultCase;
import org.lockstep.LongEnough;
import org.lockstep.collective.Backend;
import org.lockstep.collective.Communicators;
import org.lockstep.collective.Hello;
import org.lockstep.collective.Hellos;
import org.lockstep.collective.Key;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.Roster;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.rendezvous.Rendezvous;
import org.lockstep.rendezvous.Venue;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.ProcessGroup;

/** Who may not come in, and that those inside do not notice (F30, F31, F33). */
@Timeout(60)
class HandshakeTest {
    private static final WorldSpec SPEC = WorldSpec.of(ParallelSizes.tensor(3))
            .withTransports(Set.of(TransportKind.TCP))
            .withKinds(Set.of(GroupKind.WORLD))
            .withMeetingTimeout(Duration.ofSeconds(20));
    private static final long GROUP = Verdict.groupId(ProcessGroup.of("world", 0, 0, 1, 2));

    /** What a stranger does at the door of a rank that listens. */
    private interface Stranger {
        void visit(InetSocketAddress door) throws Exception;
    }

    /** A group of three whose every door is visited between the meeting and the connecting. */
    private static void groupIsUnaffectedBy(Stranger stranger) {
        CyclicBarrier visited = new CyclicBarrier(3);
        LocalWorld.of(3).withVenues(3).run(rendezvous -> {
            Rendezvous late = new Rendezvous() {
                @Override
                public int index() {
                    return rendezvous.index();
                }

                @Override
                public int size() {
                    return rendezvous.size();
                }

                @Override
                public Venue venue() {
                    return rendezvous.venue();
                }

                @Override
                public List<String> allGather(String record) {
                    List<String> records = rendezvous.allGather(record);
                    try {
                        int port = Hello.decode(record, SPEC.key()).port();
                        stranger.visit(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
                        visited.await();
                    } catch (Exception failure) {
                        throw new IllegalStateException(failure);
                    }
                    return records;
                }
            };
            try (CpuBackend backend = CpuBackend.create();
                    World world = World.join(late, backend, SPEC)) {
                HostBuffer x = Buffer.ofFloats(world.state().rank());
                world.communicators().world().allReduce(x, ReduceOp.SUM);
                assertThat(x.floats()[0]).isEqualTo(3f);
            }
            return 0;
        });
    }

    private static Stranger saying(byte[] words) {
        return door -> {
            try (Socket socket = new Socket(door.getAddress(), door.getPort())) {
                socket.getOutputStream().write(words);
                socket.getOutputStream().flush();
            } catch (IOException cutOff) {
                // that is what should happen
            }
        };
    }

    static byte[] hello(UUID attempt, int from, int to, long group, byte role) {
        return ByteBuffer.allocate(Handshake.HELLO_BYTES)
                .putInt(Handshake.MAGIC)
                .put((byte) Handshake.PROTOCOL)
                .put(role)
                .putShort((short) 0)
                .putLong(attempt.getMostSignificantBits())
                .putLong(attempt.getLeastSignificantBits())
                .putLong(group)
                .putInt(from)
                .putInt(to)
                .array();
    }

    @Test
    @FaultCase("F31")
    void noiseAndOtherProtocols() {
        byte[] noise = new byte[100_000];
        new Random(7).nextBytes(noise);
        groupIsUnaffectedBy(saying(noise));
        groupIsUnaffectedBy(
                saying("GET / HTTP/1.1\r\nHost: here\r\n\r\n".repeat(8).getBytes(StandardCharsets.US_ASCII)));
        groupIsUnaffectedBy(saying(new byte[10_000]));
    }

    /** What was sent, at the other end of a connection that is not one. */
    private static Handshake accepting(SocketChannel channel) {
        return Handshake.accept(
                channel, SPEC.key(), SPEC.attempt(), 0, new byte[Handshake.NONCE_BYTES], Long.MAX_VALUE);
    }

    private record Pair(SocketChannel ours, SocketChannel theirs) implements AutoCloseable {
        static Pair open(ServerSocketChannel listener) throws IOException {
            SocketChannel theirs = SocketChannel.open(listener.getLocalAddress());
            SocketChannel ours = listener.accept();
            ours.configureBlocking(false);
            return new Pair(ours, theirs);
        }

        @Override
        public void close() throws IOException {
            theirs.setOption(StandardSocketOptions.SO_LINGER, 0); // leaves no port behind
            theirs.close();
            ours.close();
        }
    }

    /** F31: no hello but a true one gets past the door, whatever its bytes. */
    @Test
    @FaultCase("F31")
    void noRandomHelloBreaksTheParser() throws Exception {
        Random random = new Random(31);
        byte[] good = hello(SPEC.attempt(), 2, 0, GROUP, Handshake.DIALLER);
        Handshake parser = accepting(null);
        for (int seed = 0; seed < 100_000; seed++) {
            byte[] bytes = good.clone();
            if (seed % 3 == 0) {
                random.nextBytes(bytes);
            } else {
                for (int flips = 1 + random.nextInt(3); flips > 0; flips--) {
                    bytes[random.nextInt(48)] ^= (byte) (1 << random.nextInt(8));
                }
            }
            try {
                Links.Id claimed = parser.check(bytes, Handshake.DIALLER);
                assertThat(claimed).as("seed %d", seed).isNotNull(); // group and rank are believed after the proof only
            } catch (Handshake.Refused refused) {
                assertThat(refused.getMessage()).isNotEmpty();
            }
        }
    }

    /** F33: each refusal says why, and never with what key. */
    @Test
    @FaultCase({"F18", "F33"})
    void eachRefusalHasAReason() throws Exception {
        assertThat(reason(hello(UUID.randomUUID(), 2, 0, GROUP, Handshake.DIALLER)))
                .contains("another attempt");
        assertThat(reason(hello(SPEC.attempt(), 2, 1, GROUP, Handshake.DIALLER)))
                .contains("looking for rank 1");
        assertThat(reason(hello(SPEC.attempt(), 9, 0, GROUP, Handshake.DIALLER)))
                .contains("claims to be rank 9");
        assertThat(reason(hello(SPEC.attempt(), 2, 0, GROUP + 1, Handshake.DIALLER)))
                .contains("where nobody waits");
        assertThat(reason(hello(SPEC.attempt(), 2, 0, GROUP, Handshake.ACCEPTOR)))
                .contains("in role 2");
        assertThat(reason(new byte[Handshake.HELLO_BYTES])).contains("does not speak");
        byte[] unproven = Arrays.copyOf(hello(SPEC.attempt(), 2, 0, GROUP, Handshake.DIALLER), 96);
        assertThat(reason(unproven)).contains("does not know the key").doesNotContain("Key[");
    }

    private static String reason(byte[] words) throws Exception {
        try (ServerSocketChannel listener = ServerSocketChannel.open()) {
            listener.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            try (Pair pair = Pair.open(listener)) {
                pair.theirs().write(ByteBuffer.wrap(words));
                Handshake shake = accepting(pair.ours());
                while (true) {
                    shake.proceed(id -> id.equals(new Links.Id(GROUP, 2)));
                }
            } catch (Handshake.Refused refused) {
                return String.valueOf(refused.getMessage());
            }
        }
    }

    /** F33: what our own answer was cannot be said back to us as a dialler's proof. */
    @Test
    @FaultCase("F33")
    void aReflectedProofProvesNothing() throws Exception {
        try (ServerSocketChannel listener = ServerSocketChannel.open()) {
            listener.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            try (Pair pair = Pair.open(listener)) {
                pair.theirs().write(ByteBuffer.wrap(hello(SPEC.attempt(), 2, 0, GROUP, Handshake.DIALLER)));
                Handshake shake = accepting(pair.ours());
                ByteBuffer answer = ByteBuffer.allocate(96);
                while (answer.hasRemaining()) {
                    shake.proceed(any -> true);
                    pair.theirs().configureBlocking(false);
                    pair.theirs().read(answer);
                }
                pair.theirs().write(answer.flip().position(Handshake.HELLO_BYTES));
                assertThatThrownBy(() -> {
                            while (true) {
                                shake.proceed(any -> true);
                            }
                        })
                        .isInstanceOf(Handshake.Refused.class)
                        .hasMessageContaining("does not know the key");
            }
        }
    }

    /** Both said hello before either proved itself, as a rank does whose first connection is slow. */
    @Test
    @FaultCase("F33")
    void aSecondConnectionForTheSameLinkIsRefused() throws Exception {
        byte[] hello = hello(SPEC.attempt(), 2, 0, GROUP, Handshake.DIALLER);
        Set<Links.Id> proven = new HashSet<>();
        try (ServerSocketChannel listener = ServerSocketChannel.open()) {
            listener.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            try (Pair first = Pair.open(listener);
                    Pair second = Pair.open(listener)) {
                Handshake one = accepting(first.ours());
                Handshake two = accepting(second.ours());
                byte[] proof = proof(first, one, hello);
                byte[] proofToo = proof(second, two, hello);
                first.theirs().write(ByteBuffer.wrap(proof));
                while (!one.isDone()) {
                    one.proceed(id -> !proven.contains(id));
                }
                proven.add(one.link());
                second.theirs().write(ByteBuffer.wrap(proofToo));
                assertThatThrownBy(() -> {
                            while (true) {
                                two.proceed(id -> !proven.contains(id));
                            }
                        })
                        .isInstanceOf(Handshake.Refused.class)
                        .hasMessage("is a second connection for the same link");
                assertThat(two.isDone()).isFalse();
            }
        }
    }

    /** What a true dialler says after the acceptor's answer to its hello. */
    private static byte[] proof(Pair pair, Handshake acceptor, byte[] hello) throws Exception {
        pair.theirs().write(ByteBuffer.wrap(hello));
        pair.theirs().configureBlocking(false);
        ByteBuffer answer = ByteBuffer.allocate(Handshake.HELLO_BYTES + Key.HMAC_BYTES);
        while (answer.hasRemaining()) {
            acceptor.proceed(any -> true);
            pair.theirs().read(answer);
        }
        byte[] itsHello = Arrays.copyOf(answer.array(), Handshake.HELLO_BYTES);
        return SPEC.key().hmacSha256(new byte[] {Handshake.DIALLER}, hello, itsHello);
    }

    @Test
    @FaultCase("F30")
    void aPortScan() {
        groupIsUnaffectedBy(door -> {
            for (int i = 0; i < 1000; i++) {
                saying(new byte[0]).visit(door);
            }
        });
    }

    @Test
    @FaultCase("F30")
    void aThousandIdleConnectionsKeepNobodyOut() throws IOException {
        List<Socket> idle = Collections.synchronizedList(new ArrayList<>());
        try {
            groupIsUnaffectedBy(door -> {
                for (int i = 0; i < 334; i++) { // a thousand at the three doors
                    idle.add(new Socket(door.getAddress(), door.getPort()));
                }
            });
        } finally {
            for (Socket socket : idle) {
                socket.close();
            }
        }
    }

    @Test
    @FaultCase("F33")
    void helloesThatProveNothing() {
        for (int from : new int[] {0, 1, 2, 9}) {
            for (int to : new int[] {0, 1, 2}) {
                byte[] claim = hello(SPEC.attempt(), from, to, GROUP, Handshake.DIALLER);
                byte[] withProof = ByteBuffer.allocate(claim.length + Key.HMAC_BYTES)
                        .put(claim)
                        .put(Key.random().hmacSha256(claim))
                        .array();
                groupIsUnaffectedBy(saying(withProof));
            }
        }
        groupIsUnaffectedBy(saying(hello(UUID.randomUUID(), 2, 0, GROUP, Handshake.DIALLER)));
        groupIsUnaffectedBy(saying(hello(SPEC.attempt(), 2, 0, GROUP + 1, Handshake.DIALLER)));
        groupIsUnaffectedBy(saying(hello(SPEC.attempt(), 2, 0, GROUP, Handshake.ACCEPTOR)));
    }

    /** Goes on a little. */
    private interface Turn {
        void run() throws Exception;
    }

    private static byte[] read(SocketChannel from, int count, Turn meanwhile) throws Exception {
        ByteBuffer bytes = ByteBuffer.allocate(count);
        while (bytes.hasRemaining()) {
            meanwhile.run();
            assertThat(from.read(bytes)).as("the other end is there").isNotNegative();
        }
        return bytes.array();
    }

    private static SocketChannel at(Listeners door) throws IOException {
        return SocketChannel.open(new InetSocketAddress(InetAddress.getLoopbackAddress(), door.port()));
    }

    /** Says this at the door, and waits until it is sent away or let in. */
    private static void say(byte[] words, Listeners door, Turn meanwhile) throws Exception {
        try (SocketChannel stranger = at(door)) {
            stranger.write(ByteBuffer.wrap(words));
            stranger.configureBlocking(false);
            ByteBuffer answer = ByteBuffer.allocate(2 * words.length);
            while (!isOver(stranger, answer)) {
                meanwhile.run();
            }
        }
    }

    private static boolean isOver(SocketChannel channel, ByteBuffer answer) {
        try {
            return channel.read(answer) < 0;
        } catch (IOException reset) {
            return true; // sent away in the middle of its words
        }
    }

    /** Who stands between a true dialler and the door keeps all that the dialler says, and says it again at that door. */
    @Test
    @FaultCase("F33")
    void aRecordedExchangeProvesNothingTheSecondTime() throws Exception {
        List<Links.Id> taken = new ArrayList<>();
        Taker taker = (id, connection) -> {
            taken.add(id);
            Sockets.closeQuietly(connection.channel());
        };
        Guests guests = new Guests(0, SPEC, Handshakes.PATIENCE, new SecureRandom(), 3, any -> true, taker);
        try (Listeners door = Listeners.bind(Listen.loopback());
                Selector selector = Selector.open();
                ServerSocketChannel between = ServerSocketChannel.open()) {
            guests.welcome(door, selector);
            Turn turn = () -> {
                assertThat(Thread.currentThread().isInterrupted())
                        .as("the time of the test is over")
                        .isFalse();
                selector.select(1);
                for (SelectionKey ready : selector.selectedKeys()) {
                    ((OnReady) ready.attachment()).proceed(ready);
                }
                selector.selectedKeys().clear();
            };
            between.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            try (Pair way = Pair.open(between);
                    SocketChannel onwards = at(door)) {
                way.theirs().configureBlocking(false);
                onwards.configureBlocking(false);
                Links.Id link = new Links.Id(GROUP, 0);
                byte[] nonce = new byte[Handshake.NONCE_BYTES];
                Handshake dialler =
                        Handshake.dial(way.theirs(), link, SPEC.key(), SPEC.attempt(), 2, nonce, System.nanoTime());
                Turn dial = () -> dialler.proceed(any -> true);
                byte[] hello = read(way.ours(), Handshake.HELLO_BYTES, dial);
                onwards.write(ByteBuffer.wrap(hello));
                byte[] answer = read(onwards, Handshake.HELLO_BYTES + Key.HMAC_BYTES, turn);
                way.ours().write(ByteBuffer.wrap(answer));
                byte[] proof = read(way.ours(), Key.HMAC_BYTES, dial);
                byte[] recording = ByteBuffer.allocate(hello.length + proof.length)
                        .put(hello)
                        .put(proof)
                        .array();

                say(recording, door, turn);
                assertThat(taken).as("before the dialler is through").isEmpty();
                assertThat(guests.refusals()).contains("; 1 connections", "does not know the key");

                onwards.write(ByteBuffer.wrap(proof));
                way.ours().write(ByteBuffer.wrap(read(onwards, 1, turn)));
                while (!dialler.isDone()) {
                    dial.run();
                }
                assertThat(taken).as("what was recorded is true").containsExactly(new Links.Id(GROUP, 2));

                say(recording, door, turn);
                assertThat(taken).as("after the dialler came through").hasSize(1);
                assertThat(guests.refusals()).contains("; 2 connections", "does not know the key");
            }
        } finally {
            guests.close();
        }
    }

    private static void assertRefused(UnaryOperator<WorldSpec> changed, String text) throws Exception {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2))
                .withTransports(Set.of(TransportKind.TCP))
                .withKinds(Set.of(GroupKind.WORLD));
        meetAsOneAndConnect(spec, spec); // classes that have yet to be loaded take none of the time below
        LongEnough.oneOf(Duration.ofSeconds(2), Duration.ofSeconds(20), limit -> {
            WorldSpec brief = spec.withMeetingTimeout(limit); // which who waits for the other waits for
            assertThatThrownBy(() -> meetAsOneAndConnect(brief, changed.apply(brief)))
                    .satisfies(failure -> {
                        List<String> said = new ArrayList<>(List.of(failure.getMessage()));
                        for (Throwable other : failure.getSuppressed()) {
                            said.add(String.valueOf(other.getMessage()));
                        }
                        assertThat(String.join("\n", said)).contains(text);
                    });
        });
    }

    /** Two parties, both of which meet under the first spec; the second one connects under the other. */
    private static void meetAsOneAndConnect(WorldSpec spec, WorldSpec ofTheSecond) {
        LocalWorld two =
                LocalWorld.of(2).withVenues(2).withGrace(Duration.ofSeconds(50)); // for who waits for its deadline
        two.run(rendezvous -> {
            WorldSpec mine = rendezvous.index() == 0 ? spec : ofTheSecond;
            try (CpuBackend backend = CpuBackend.create();
                    Backend.Endpoint endpoint = backend.open(rendezvous.venue(), mine)) {
                Hello hello =
                        Hellos.of(spec, rendezvous.index(), rendezvous.index(), endpoint.addresses(), endpoint.port());
                Roster roster = Roster.of(rendezvous.allGather(hello.encode(spec.key())), spec);
                int rank = roster.rank(rendezvous.index());
                try (Communicators all = endpoint.connect(roster, roster.grid().state(rank))) {
                    all.world().barrier();
                }
                return rank;
            }
        });
    }

    @Test
    @FaultCase("F33")
    void anotherKeyIsToldAsSuch() throws Exception {
        assertRefused(spec -> spec.withAttempt(spec.attempt(), Key.random()), "does not know the key");
    }

    @Test
    @FaultCase("F33")
    void anotherAttemptIsToldAsSuch() throws Exception {
        assertRefused(spec -> spec.withAttempt(UUID.randomUUID(), spec.key()), "another attempt");
    }
}
