package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CyclicBarrier;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.collective.Backend;
import org.lockstep.collective.Communicators;
import org.lockstep.collective.Hello;
import org.lockstep.collective.Identity;
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

    private static byte[] hello(UUID attempt, int from, int to, long group, byte role) {
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
    void noiseAndOtherProtocols() {
        byte[] noise = new byte[100_000];
        new Random(7).nextBytes(noise);
        groupIsUnaffectedBy(saying(noise));
        groupIsUnaffectedBy(
                saying("GET / HTTP/1.1\r\nHost: here\r\n\r\n".repeat(8).getBytes(StandardCharsets.US_ASCII)));
        groupIsUnaffectedBy(saying(new byte[10_000]));
    }

    @Test
    void aPortScan() {
        groupIsUnaffectedBy(door -> {
            for (int i = 0; i < 100; i++) {
                saying(new byte[0]).visit(door);
            }
        });
    }

    @Test
    void idleConnectionsAreBoundedAndPushedOut() throws IOException {
        List<Socket> idle = Collections.synchronizedList(new ArrayList<>());
        try {
            groupIsUnaffectedBy(door -> {
                for (int i = 0; i < 300; i++) {
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

    @Test
    void aRecordedExchangeProvesNothingTheSecondTime() {
        // Everything a true dialler said to another acceptor of the same attempt: its hello, then its proof.
        byte[] hello = hello(SPEC.attempt(), 2, 0, GROUP, Handshake.DIALLER);
        byte[] answer = hello(SPEC.attempt(), 0, 2, GROUP, Handshake.ACCEPTOR);
        byte[] proof = SPEC.key().hmacSha256(new byte[] {Handshake.DIALLER}, hello, answer);
        groupIsUnaffectedBy(saying(ByteBuffer.allocate(hello.length + proof.length)
                .put(hello)
                .put(proof)
                .array()));
    }

    /** Two parties that met under one spec and connect under two. */
    private static void assertRefused(UnaryOperator<WorldSpec> changed, String text) {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2))
                .withTransports(Set.of(TransportKind.TCP))
                .withKinds(Set.of(GroupKind.WORLD))
                .withMeetingTimeout(Duration.ofMillis(500));
        assertThatThrownBy(() -> LocalWorld.of(2).withVenues(2).run(rendezvous -> {
                    WorldSpec mine = rendezvous.index() == 0 ? spec : changed.apply(spec);
                    try (CpuBackend backend = CpuBackend.create();
                            Backend.Endpoint endpoint = backend.open(rendezvous.venue(), mine)) {
                        Hello hello = new Hello(
                                spec.attempt(),
                                "test",
                                Identity.local(),
                                rendezvous.index(),
                                rendezvous.index(),
                                "cpu",
                                endpoint.addresses(),
                                endpoint.port(),
                                spec.sizes(),
                                spec.order(),
                                new Hello.Settings(0, List.of()),
                                List.of());
                        Roster roster = Roster.of(rendezvous.allGather(hello.encode(spec.key())), spec);
                        int rank = roster.rank(rendezvous.index());
                        try (Communicators all =
                                endpoint.connect(roster, roster.grid().state(rank))) {
                            all.world().barrier();
                        }
                        return rank;
                    }
                }))
                .satisfies(failure -> {
                    List<String> said = new ArrayList<>(List.of(failure.getMessage()));
                    for (Throwable other : failure.getSuppressed()) {
                        said.add(String.valueOf(other.getMessage()));
                    }
                    assertThat(String.join("\n", said)).contains(text);
                });
    }

    @Test
    void anotherKeyIsToldAsSuch() {
        assertRefused(
                spec -> new WorldSpec(
                        spec.attempt(),
                        Key.random(),
                        spec.sizes(),
                        spec.order(),
                        spec.kinds(),
                        spec.settings(),
                        spec.objects(),
                        spec.meetingTimeout(),
                        spec.operationTimeout(),
                        spec.strictPlacement(),
                        spec.transports(),
                        spec.encrypted()),
                "does not know the key");
    }

    @Test
    void anotherAttemptIsToldAsSuch() {
        assertRefused(
                spec -> new WorldSpec(
                        UUID.randomUUID(),
                        spec.key(),
                        spec.sizes(),
                        spec.order(),
                        spec.kinds(),
                        spec.settings(),
                        spec.objects(),
                        spec.meetingTimeout(),
                        spec.operationTimeout(),
                        spec.strictPlacement(),
                        spec.transports(),
                        spec.encrypted()),
                "another attempt");
    }
}
