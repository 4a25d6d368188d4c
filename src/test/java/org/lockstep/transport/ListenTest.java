package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.net.Inet6Address;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.NetworkInterface;
import java.net.ServerSocket;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.apache.logging.log4j.Level;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.LogLines;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/** Where a rank listens and how its peers get there (F39 to F41). */
@Timeout(60)
class ListenTest {
    private static final WorldSpec SPEC = WorldSpec.of(ParallelSizes.tensor(2))
            .withKinds(Set.of(GroupKind.WORLD))
            .withTransports(Set.of(TransportKind.TCP));

    private static InetAddress address(String literal) throws Exception {
        return InetAddress.getByName(literal);
    }

    private static void meet(Listen where) {
        LocalWorld.of(2).withVenues(2).run(rendezvous -> {
            try (CpuBackend backend = CpuBackend.create(where);
                    World world = World.join(rendezvous, backend, SPEC)) {
                HostBuffer x = Buffer.ofInts(1);
                world.communicators().world().allReduce(x, ReduceOp.SUM);
                assertThat(x.toInts()).containsExactly(2);
            }
            return 0;
        });
    }

    private static boolean hasIpv6() throws Exception {
        return NetworkInterface.networkInterfaces()
                .flatMap(NetworkInterface::inetAddresses)
                .anyMatch(address -> address instanceof Inet6Address && address.isLoopbackAddress());
    }

    @Test
    @FaultCase("F39")
    void ipv6() throws Exception {
        org.junit.jupiter.api.Assumptions.assumeTrue(hasIpv6(), "this host has no ::1");
        meet(Listen.on(address("::1")));
        meet(Listen.on(address("::1"), address("127.0.0.1")));
    }

    @Test
    @FaultCase("F40")
    void severalAddressesAreOneDoor() throws Exception {
        Listen where = Listen.on(address("127.0.0.1"), address("127.0.0.2"), address("127.0.0.3"));
        meet(where);
        try (Listeners listeners = Listeners.bind(where)) {
            assertThat(listeners.channels()).hasSize(3);
            for (ServerSocketChannel each : listeners.channels()) {
                assertThat(each.socket().getLocalPort()).isEqualTo(listeners.port());
            }
            assertThat(where.literals()).containsExactly("127.0.0.1", "127.0.0.2", "127.0.0.3");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"0.0.0.0", "::", "fe80::1", "169.254.1.1"})
    @FaultCase("F39")
    void whatMeansNothingToOtherHostsIsNotTold(String literal) {
        assertThatThrownBy(() -> Listen.on(address(literal)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("cannot be told");
    }

    @Test
    void aHostIsKnownByItsOwnAddressFirst() throws Exception {
        assertThat(Listen.of(address("127.0.0.1"), "auto").literals()).containsExactly("127.0.0.1");
        assertThat(Listen.of(address("127.0.0.1"), "all").literals()).containsExactly("127.0.0.1");
        for (InetAddress each : NetworkInterface.networkInterfaces()
                .flatMap(NetworkInterface::inetAddresses)
                .filter(address -> !address.isLoopbackAddress() && !address.isLinkLocalAddress())
                .toList()) {
            assertThat(Listen.of(each, "all").addresses()).first().isEqualTo(each);
            assertThat(Listen.of(each, "all").addresses())
                    .doesNotHaveDuplicates()
                    .noneMatch(InetAddress::isLinkLocalAddress);
        }
        assertThat(Listen.of(address("127.0.0.1"), "lo").literals()).contains("127.0.0.1");
        assertThatThrownBy(() -> Listen.of(address("127.0.0.1"), "lo,wlan77"))
                .isInstanceOf(CommunicatorException.class)
                .hasMessageContaining("no interface 'wlan77'")
                .hasMessageContaining("spark.lockstep.network.interface");
    }

    @Test
    @FaultCase("F41")
    void aPortOfTheRange() throws Exception {
        int free;
        try (ServerSocket any = new ServerSocket(0, 1, address("127.0.0.9"))) {
            free = any.getLocalPort();
        }
        Listen where = Listen.on(address("127.0.0.9")).withPorts(free, free);
        try (Listeners first = Listeners.bind(where)) {
            assertThat(first.port()).isEqualTo(free);
            CommunicatorException busy = catchThrowableOfType(CommunicatorException.class, () -> Listeners.bind(where));
            assertThat(busy.code()).isEqualTo(ErrorCode.RENDEZVOUS_FAILED);
            assertThat(busy)
                    .hasMessageContaining("127.0.0.9")
                    .hasMessageContaining("ports " + free + ".." + free)
                    .hasMessageContaining("spark.lockstep.network.port");
        }
    }

    @Test
    @FaultCase("F41")
    void manyRanksShareARange() throws Exception {
        Listen where = Listen.on(address("127.0.0.8")).withPorts(30_000, 30_015);
        List<Listeners> all = new ArrayList<>();
        try {
            Set<Integer> ports = new java.util.TreeSet<>();
            for (int i = 0; i < 16; i++) {
                Listeners each = Listeners.bind(where);
                all.add(each);
                ports.add(each.port());
            }
            assertThat(ports).hasSize(16).allMatch(port -> port >= 30_000 && port <= 30_015);
            assertThatThrownBy(() -> Listeners.bind(where)).hasMessageContaining("ports 30000..30015");
        } finally {
            all.forEach(Listeners::close);
        }
    }

    /** A process whose JVM uses no IPv6, as it tells how listening there ended and whether what was open by then is closed. */
    private static final class Ipv4Only {
        public static void main(String[] none) throws Exception {
            InetAddress here = InetAddress.getByName("127.0.0.7");
            Listen four = Listen.on(here);
            int port;
            try (Listeners any = Listeners.bind(four)) {
                port = any.port();
            }
            Listen both = Listen.on(here, InetAddress.getByName("::1")).withPorts(port, port);
            try (Listeners bound = Listeners.bind(both)) {
                System.out.println("bound " + bound.channels());
            } catch (CommunicatorException failure) {
                System.out.println(failure.getMessage());
            }
            try (Listeners again = Listeners.bind(four.withPorts(port, port))) {
                System.out.println("free again: " + (again.port() == port));
            }
        }
    }

    @Test
    @FaultCase("F39")
    void anAddressThatTheJvmCannotUseIsToldAndLeavesNothingOpen(@TempDir Path folder) throws Exception {
        Path said = folder.resolve("said");
        Process process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Djava.net.preferIPv4Stack=true",
                        "-XX:TieredStopAtLevel=1",
                        "-Xmx64m",
                        "-cp",
                        RankProcesses.classPath(),
                        Ipv4Only.class.getName())
                .redirectErrorStream(true)
                .redirectOutput(said.toFile())
                .start();
        try {
            assertThat(process.waitFor(45, TimeUnit.SECONDS)).as("it ended").isTrue();
        } finally {
            process.destroyForcibly();
        }
        assertThat(said)
                .content()
                .contains("RENDEZVOUS_FAILED", "cannot listen on 127.0.0.7, 0:0:0:0:0:0:0:1 at ports ")
                .contains("this JVM uses no addresses of its kind (see java.net.preferIPv4Stack)")
                .contains("try     : an address of this host that its peers can reach")
                .contains("free again: true");
    }

    @Test
    void rangesThatAreNone() throws Exception {
        Listen here = Listen.loopback();
        for (int[] range : new int[][] {{5, 4}, {-1, 4}, {1, 65536}, {0, 5}}) {
            assertThatThrownBy(() -> here.withPorts(range[0], range[1])).isInstanceOf(IllegalArgumentException.class);
        }
    }

    /** A connection that is refused, and one whose packets vanish: the next address is tried in either case, and told. */
    @ParameterizedTest
    @ValueSource(strings = {"127.0.0.77", "192.0.2.1"})
    @FaultCase("F40")
    void theNextAddressIsTriedAndSaid(String deadEnd) throws Exception {
        Listen where = Listen.loopback();
        String there = where.literals().get(0);
        try (LogLines log = new LogLines(Calls.class, Level.INFO)) {
            LocalWorld.of(2).withVenues(2).run(rendezvous -> {
                try (CpuBackend backend = CpuBackend.create(where);
                        World world = World.join(Told.withDeadEnd(rendezvous, SPEC.key(), deadEnd), backend, SPEC)) {
                    world.communicators().world().barrier();
                }
                return 0;
            });
            assertThat(log.said())
                    .as("one line for the peer, not one for each link")
                    .singleElement()
                    .asString()
                    .matches(
                            "rank 1 reached rank 0 at \\[%s, %s] port \\d+ by %s, and not by \\[%s], which did not answer first"
                                    .formatted(deadEnd, there, there, deadEnd));
        }
    }

    @Test
    @FaultCase("F40")
    void whoIsAtItsFirstAddressIsNotSpokenOf() {
        try (LogLines log = new LogLines(Calls.class, Level.INFO)) {
            meet(Listen.loopback());
            assertThat(log.said()).isEmpty();
        }
    }

    @Test
    @FaultCase("F40")
    void addressesThatTheRecordHasNoRoomForAreSaid() throws Exception {
        List<InetAddress> many = new ArrayList<>();
        for (int i = 1; i <= 30; i++) {
            many.add(address("127.0.0." + i));
        }
        try (LogLines log = new LogLines(Door.class, Level.INFO)) {
            meet(Listen.on(address("127.0.0.1"), address("127.0.0.2")));
            assertThat(log.said()).isEmpty();
            meet(new Listen(many, 0, 0));
            assertThat(log.said())
                    .as("a line for each rank")
                    .hasSize(2)
                    .allMatch(line -> line.matches("rank [01] listens at \\[.*, 127\\.0\\.0\\.30] too, .*"
                            + "peers try \\[127\\.0\\.0\\.1, 127\\.0\\.0\\.2, .*] only"));
        }
    }

    @Test
    @FaultCase("F38")
    void whoCanBeReachedNowhereIsNamedWithAllItsAddresses() throws Exception {
        try (Listeners mine = Listeners.bind(Listen.loopback())) {
            InetSocketAddress gone;
            try (ServerSocket closed = new ServerSocket(0, 1, address("127.0.0.77"))) {
                gone = new InetSocketAddress(closed.getInetAddress(), closed.getLocalPort());
            }
            CommunicatorException failure = catchThrowableOfType(
                    CommunicatorException.class,
                    () -> new Handshakes(
                                    Rosters.of(SPEC, List.of("127.0.0.77", "127.0.0.78"), gone.getPort(), mine.port()),
                                    1,
                                    SPEC,
                                    mine,
                                    Set.of(new Links.Id(7, 0)),
                                    Rosters.fate(SPEC),
                                    (id, link) -> {},
                                    Deadline.in(java.time.Duration.ofSeconds(20)),
                                    Handshakes.PATIENCE)
                            .run());
            assertThat(failure.code()).isEqualTo(ErrorCode.PEER_LOST);
            assertThat(failure).hasMessageContaining("rank 0 at [127.0.0.77, 127.0.0.78] port " + gone.getPort());
        }
    }
}
