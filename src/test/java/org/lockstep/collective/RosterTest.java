package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.rendezvous.RendezvousException;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.RankOrder;

/** The record and what is made of all of them: F43, F44 and the limits of DESIGN §3.3. */
class RosterTest {
    private static final WorldSpec SPEC = WorldSpec.of(ParallelSizes.tensor(2));
    private static final Identity PARTY = new Identity("app-20261122-0001", 3, 0, 77, 0, "host-a", null);

    private static final String LONG_HOST = "ip-10-100-200-30.eu-central-1.compute.internal.bücher.example";

    private static Hello hello(WorldSpec spec, Identity identity, int partition, long venue) {
        return new Hello(
                spec.attempt(),
                "0.1.0",
                identity,
                partition,
                venue,
                "cpu",
                List.of("127.0.0.1"),
                40000 + partition,
                spec.sizes(),
                spec.order(),
                spec.settingsDigest(),
                List.of());
    }

    /** Four parties, of which {@code changed} says something else. */
    private static List<String> records(int changed, UnaryOperator<Hello> change) {
        List<String> records = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            Hello hello = hello(SPEC, PARTY, i, 1);
            records.add((i == changed ? change.apply(hello) : hello).encode(SPEC.key()));
        }
        return records;
    }

    /** What {@code h} says, but for what all must have in common. */
    private static Hello told(Hello h, ParallelSizes sizes, RankOrder order, Hello.Settings settings) {
        return new Hello(
                h.attempt(),
                h.version(),
                h.identity(),
                h.partition(),
                h.venue(),
                h.backend(),
                h.addresses(),
                h.port(),
                sizes,
                order,
                settings,
                h.ids());
    }

    private static RendezvousException refusal(List<String> records) {
        return catchThrowableOfType(RendezvousException.class, () -> Roster.of(records, SPEC));
    }

    private static void assertRefused(List<String> records, ErrorCode code, String... texts) {
        RendezvousException failure = refusal(records);
        assertThat(failure).isNotNull();
        assertThat(failure.code()).as(failure.getMessage()).isEqualTo(code);
        assertThat(failure.getMessage()).contains(texts);
    }

    @Test
    void aRecordSurvivesTheWay() {
        Identity.Gpu gpu = Identity.Gpu.parse("GPU-8f2c1b5e-0000-4000-8000-123456789abc", "00000000:3B:00.0");
        byte[] id = new byte[UniqueId.BYTES];
        new Random(1).nextBytes(id);
        ParallelSizes sizes =
                ParallelSizes.tensor(8).withPipeline(4).withVirtualPipeline(3).withSplitRank(0);
        Hello hello = new Hello(
                UUID.randomUUID(),
                "0.1.0",
                PARTY.withGpu(gpu),
                123,
                -5,
                "cuda",
                List.of("10.1.2.3", "fd00:0:0:0:0:0:0:1"),
                65535,
                sizes,
                RankOrder.TP_PP_DP,
                SPEC.settingsDigest(),
                new Hello.Tenure(70_000, -7),
                List.of(UniqueId.of(id), UniqueId.of(new byte[UniqueId.BYTES])));
        assertThat(Hello.decode(hello.encode(SPEC.key()), SPEC.key())).isEqualTo(hello);
    }

    private static Hello longest(int stage, int partition, ParallelSizes sizes) {
        return longest(
                stage,
                partition,
                sizes,
                List.of("fd00::1234:5678:9abc:def0", "192.168.100.200", "10.0.0.1", "10.0.0.2"));
    }

    private static Hello longest(int stage, int partition, ParallelSizes sizes, List<String> addresses) {
        Identity wordy = new Identity(
                "spark-0123456789abcdef0123456789abcdef0123456789",
                stage,
                stage,
                -1,
                -1,
                LONG_HOST,
                Identity.Gpu.parse("MIG-8f2c1b5e-0000-4000-8000-123456789abc", "FFFFFFFF:FF:FF.0"));
        return new Hello(
                SPEC.attempt(),
                "10.20.30-SNAPSHOT",
                wordy,
                partition,
                Long.MIN_VALUE,
                "elsewhere",
                addresses,
                65535,
                sizes,
                RankOrder.DEFAULT,
                SPEC.withSettings(manySettings()).settingsDigest(),
                List.of());
    }

    private static Map<String, String> manySettings() {
        Map<String, String> settings = new java.util.HashMap<>();
        for (int i = 0; i < 40; i++) {
            settings.put("spark.lockstep.setting" + i, "value");
        }
        return settings;
    }

    private static void assertFits(Hello hello) {
        assertFits(hello, "fd00:0:0:0:1234:5678:9abc:def0", "192.168.100.200");
    }

    private static void assertFits(Hello hello, String... addresses) {
        String text = hello.encode(SPEC.key());
        assertThat(text.length()).isLessThanOrEqualTo(Hello.MAX_CHARS);
        assertThat(Hello.decode(text, SPEC.key())).isEqualTo(hello);
        assertThat(hello.addresses()).containsExactly(addresses);
    }

    @Test
    void theLongestRecordFits() {
        Hello usual =
                longest(9, 99_999, ParallelSizes.tensor(128).withPipeline(128).withData(6));
        assertFits(usual);
        assertThat(usual.identity().hostName()).startsWith("ip-10-100-200").contains("~");
        ParallelSizes largest = ParallelSizes.tensor(127)
                .withContext(127)
                .withData(127)
                .withExpertTensor(127)
                .withExpert(127)
                .withExpertData(127)
                .withPipeline(1000)
                .withVirtualPipeline(Integer.MAX_VALUE - 1)
                .withSplitRank(999);
        Hello longest = longest(Integer.MAX_VALUE, Integer.MAX_VALUE, largest);
        assertFits(longest);
        assertThat(longest.encode(SPEC.key())).hasSize(Hello.MAX_CHARS);
        assertThat(longest.settings().hints()).isEmpty();
        assertFits(longest(
                Integer.MAX_VALUE,
                Integer.MAX_VALUE,
                ParallelSizes.tensor(1)
                        .withPipeline(1 << 29)
                        .withSplitRank(1 << 28)
                        .withVirtualPipeline(1 << 30)));
        assertThatThrownBy(() -> longest(Integer.MAX_VALUE, 0, largest.withTensor(Integer.MAX_VALUE - 1)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("too large for any world");
    }

    @Test
    @FaultCase({"F39", "F40"})
    void anAddressWithoutRoomTakesNoneFromTheNext() {
        ParallelSizes sizes = ParallelSizes.tensor(128).withPipeline(128).withData(6);
        List<String> both = List.of("fd00::1", "fd00::2", "192.168.100.200", "fd00::3");
        assertFits(longest(9, 99_999, sizes, both), "fd00:0:0:0:0:0:0:1", "192.168.100.200");
        List<String> sixOnly = List.of("fd00::1", "fd00::2", "fd00::3", "fd00::4", "fd00::5");
        assertFits(longest(9, 99_999, sizes, sixOnly), "fd00:0:0:0:0:0:0:1");
    }

    /** Where names are short and there is no GPU; reaching a peer is worth more than naming the one setting that differs. */
    @Test
    @FaultCase({"F39", "F40"})
    void addressesTakeTheRoomThatIsLeftBeforeHints() {
        WorldSpec spec = SPEC.withSettings(manySettings());
        for (int count = 1; count <= 6; count++) {
            List<String> addresses = IntStream.rangeClosed(1, count)
                    .mapToObj(i -> "fd00:0:0:0:0:0:0:" + i)
                    .toList();
            Hello h = hello(spec, PARTY, 0, 1);
            Hello several = new Hello(
                    h.attempt(),
                    h.version(),
                    h.identity(),
                    h.partition(),
                    h.venue(),
                    h.backend(),
                    addresses,
                    h.port(),
                    h.sizes(),
                    h.order(),
                    spec.settingsDigest(),
                    h.ids());
            assertFits(several, addresses.subList(0, Math.min(4, count)).toArray(String[]::new));
            assertThat(several.settings().hints()).isNotEmpty();
        }
    }

    @Test
    void aHostHasOneNameWhateverElseItsRecordsSay() {
        ParallelSizes sizes = ParallelSizes.tensor(128).withPipeline(128);
        Hello full = longest(3, Integer.MAX_VALUE, sizes);
        Hello bare = new Hello(
                full.attempt(),
                "10.20.30-SNAPSHOT",
                longest(3, 0, sizes).identity().withGpu(null).withHost(-1, LONG_HOST),
                0,
                1,
                "elsewhere",
                List.of(),
                0,
                sizes,
                RankOrder.DEFAULT,
                full.settings(),
                List.of());
        assertThat(bare.identity().hostName()).isEqualTo(full.identity().hostName());
    }

    @Test
    void aRecordWithoutRoomForHintsDoesNotDisagree() {
        WorldSpec spec = SPEC.withSettings(manySettings());
        List<String> records = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            Identity party = PARTY.withHost(77 + i, i == 0 ? "a" : LONG_HOST);
            records.add(hello(spec, party, i, i).encode(spec.key()));
        }
        assertThat(Roster.of(records, spec).size()).isEqualTo(2);
    }

    @Test
    void ranksFollowHostsAndVenuesNotPartitions() {
        List<String> records = new ArrayList<>();
        for (int i = 0; i < 4; i++) { // dealt round-robin over two JVMs of one host
            records.add(hello(SPEC, PARTY, i, i % 2).encode(SPEC.key()));
        }
        Roster roster = Roster.of(records, SPEC);
        assertThat(roster.placement().slots())
                .extracting(slot -> slot.partition())
                .containsExactly(0, 2, 1, 3);
        roster.grid()
                .groups(GroupKind.TENSOR)
                .forEach(group -> assertThat(roster.shareVenue(group)).isTrue());
        assertThat(roster.shareVenue(roster.grid().groups(GroupKind.WORLD).get(0)))
                .isFalse();
        assertThat(roster.rank(2)).isEqualTo(1);
        assertThat(roster.partition(1)).isEqualTo(2);
        assertThat(roster.describe(1)).isEqualTo("rank 1  host host-a  partition 2");
    }

    @Test
    void theNearestTransportThatTwoShareAndTheSpecAllows() {
        WorldSpec spec = SPEC.withSizes(ParallelSizes.tensor(1));
        assertThat(transports(spec)).containsExactly("thread", "shared", "tcp", "tcp", "tcp");
        assertThat(transports(spec.withTransports(Set.of(TransportKind.SHARED))))
                .containsExactly("shared", "shared", "tcp", "tcp", "tcp");
        assertThat(transports(spec.withTransports(Set.of(TransportKind.THREAD))))
                .containsExactly("thread", "tcp", "tcp", "tcp", "tcp");
        assertThat(transports(spec.withTransports(Set.of()))).containsExactly("tcp", "tcp", "tcp", "tcp", "tcp");
    }

    /** From the first party to one of its JVM, its host, its host's other container, another host, and its namesake. */
    private static List<String> transports(WorldSpec spec) {
        Identity first = PARTY.withMemory(5);
        List<Identity> parties = List.of(
                first, first, first, first.withMemory(6), first.withHost(78, "host-b"), first.withHost(79, "host-a"));
        List<String> records = new ArrayList<>();
        for (int i = 0; i < parties.size(); i++) {
            records.add(hello(spec, parties.get(i), i, i < 2 ? 0 : i).encode(spec.key()));
        }
        Roster roster = Roster.of(records, spec);
        assertThat(IntStream.range(0, 6).map(i -> roster.ranksOnHost(roster.rank(i))))
                .containsExactly(4, 4, 4, 4, 1, 1);
        return IntStream.range(1, 6)
                .mapToObj(i -> roster.transport(roster.rank(0), roster.rank(i)).toString())
                .toList();
    }

    @Test
    void gpusOfAHostAreRankedByTheirBus() {
        List<String> records = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            Identity.Gpu gpu = new Identity.Gpu(new UUID(i, i), false, 0, 0x40 - i, 0);
            records.add(hello(SPEC, PARTY.withGpu(gpu), i, i).encode(SPEC.key()));
        }
        assertThat(Roster.of(records, SPEC).placement().slots())
                .extracting(slot -> slot.partition())
                .containsExactly(3, 2, 1, 0);
    }

    @Test
    @FaultCase("F54")
    void groupsThatSpanHostsAreReportedOrRefused() {
        List<String> records = new ArrayList<>();
        WorldSpec strict = SPEC.withStrictPlacement(true);
        List<String> strictRecords = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            Identity where = PARTY.withHost(77, i < 3 ? "host-a" : "host-b");
            records.add(hello(SPEC, where, i, i).encode(SPEC.key()));
            strictRecords.add(hello(strict, where, i, i).encode(SPEC.key()));
        }
        assertThat(Roster.of(records, SPEC).spanning(GroupKind.TENSOR)).hasSize(1);
        assertThatThrownBy(() -> Roster.of(strictRecords, strict))
                .isInstanceOf(RendezvousException.class)
                .hasMessageContaining("SPANS_HOSTS")
                .hasMessageContaining("host-a")
                .hasMessageContaining("host-b");
    }

    @Test
    @FaultCase("F43")
    void aBadRecordIsNamed() {
        List<String> withNull = new ArrayList<>(records(0, hello -> hello));
        withNull.set(2, null);
        assertRefused(withNull, ErrorCode.BAD_RECORD, "partition 2", "null");
        List<String> duplicate = new ArrayList<>(records(0, hello -> hello));
        duplicate.set(3, duplicate.get(1));
        assertRefused(duplicate, ErrorCode.BAD_RECORD, "partition 3", "partition 1's");
        List<String> noise = new ArrayList<>(records(0, hello -> hello));
        noise.set(1, "GET / HTTP/1.1");
        assertRefused(noise, ErrorCode.BAD_RECORD, "partition 1");
        List<String> foreign = new ArrayList<>(records(0, hello -> hello));
        foreign.set(0, hello(SPEC, PARTY, 0, 1).encode(Key.random()));
        assertRefused(foreign, ErrorCode.BAD_RECORD, "partition 0", "key");
    }

    @Test
    @FaultCase("F43")
    void everyFlippedBitIsSeen() {
        String good = hello(SPEC, PARTY, 0, 1).encode(SPEC.key());
        byte[] bytes = Base64.getDecoder().decode(good);
        for (int bit = 0; bit < bytes.length * 8; bit++) {
            byte[] flipped = bytes.clone();
            flipped[bit / 8] ^= (byte) (1 << bit % 8);
            String text = Base64.getEncoder().withoutPadding().encodeToString(flipped);
            assertThatThrownBy(() -> Hello.decode(text, SPEC.key())).isInstanceOf(IllegalArgumentException.class);
        }
        for (int length = 0; length < bytes.length; length++) {
            String text = Base64.getEncoder().withoutPadding().encodeToString(Arrays.copyOf(bytes, length));
            assertThatThrownBy(() -> Hello.decode(text, SPEC.key())).isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    @FaultCase("F43")
    void aStaleAttemptIsToldAsSuch() {
        WorldSpec old = WorldSpec.of(ParallelSizes.tensor(2));
        List<String> stale = new ArrayList<>(records(0, hello -> hello));
        stale.set(1, hello(old, PARTY, 1, 1).encode(old.key()));
        assertRefused(stale, ErrorCode.STALE_ATTEMPT, old.attempt() + " in partition 1", "in partitions 0,2,3");
    }

    @Test
    @FaultCase({"F43", "F44"})
    void whatDiffersIsNamedWithWho() {
        assertRefused(
                records(2, h -> hello(SPEC, new Identity("app-other", 3, 0, 77, 0, "host-a", null), 2, 1)),
                ErrorCode.DISAGREEMENT,
                "application",
                "app-other in partition 2",
                "app-20261122-0001 in partitions 0,1,3");
        assertRefused(
                records(1, h -> hello(SPEC, new Identity("app-20261122-0001", 3, 1, 77, 0, "host-a", null), 1, 1)),
                ErrorCode.DISAGREEMENT,
                "stage attempt",
                "1 in partition 1");
        assertRefused(
                records(
                        3,
                        h -> new Hello(
                                h.attempt(),
                                "0.0.9",
                                h.identity(),
                                3,
                                1,
                                "cpu",
                                h.addresses(),
                                h.port(),
                                h.sizes(),
                                h.order(),
                                h.settings(),
                                h.ids())),
                ErrorCode.DISAGREEMENT,
                "lockstep version",
                "0.0.9 in partition 3");
        assertRefused(
                records(
                        3,
                        h -> new Hello(
                                h.attempt(),
                                h.version(),
                                h.identity(),
                                3,
                                1,
                                "cuda",
                                h.addresses(),
                                h.port(),
                                h.sizes(),
                                h.order(),
                                h.settings(),
                                h.ids())),
                ErrorCode.DISAGREEMENT,
                "backend",
                "cuda in partition 3");
        assertRefused(
                records(0, h -> told(h, ParallelSizes.tensor(4), h.order(), h.settings())),
                ErrorCode.DISAGREEMENT,
                "sizes",
                "tp=4");
        WorldSpec other = SPEC.withOperationTimeout(Duration.ofSeconds(7));
        assertRefused(
                records(2, h -> told(h, h.sizes(), h.order(), other.settingsDigest())),
                ErrorCode.DISAGREEMENT,
                "setting lockstep.operationTimeout",
                "partition 2");
    }

    @Test
    @FaultCase("F44")
    void anotherOrderOfTheRanksIsNamedWithWho() {
        assertRefused(
                records(1, h -> told(h, h.sizes(), RankOrder.TP_PP_DP, h.settings())),
                ErrorCode.DISAGREEMENT,
                "order differs",
                "tp-cp-ep-dp-pp in partitions 0,2,3",
                "tp-cp-ep-pp-dp in partition 1");
    }

    @Test
    void transportsAreAgreedOnAndTcpIsAlwaysAmongThem() {
        WorldSpec other = SPEC.withTransports(Set.of(TransportKind.THREAD));
        assertThat(SPEC.transports()).containsExactlyInAnyOrder(TransportKind.values());
        assertThat(other.transports()).containsExactlyInAnyOrder(TransportKind.THREAD, TransportKind.TCP);
        assertThat(SPEC.withTransports(Set.of()).newAttempt().transports()).containsExactly(TransportKind.TCP);
        assertRefused(
                records(1, h -> told(h, h.sizes(), h.order(), other.settingsDigest())),
                ErrorCode.DISAGREEMENT,
                "setting lockstep.transports",
                "partition 1");
        assertThat(TransportKind.parse(" Shared")).isEqualTo(TransportKind.SHARED);
        assertThatThrownBy(() -> TransportKind.parse("rdma")).hasMessageContaining("'rdma': thread, shared, tcp");
    }

    @Test
    @FaultCase("F51")
    void oneGpuForTwoIsRefused() {
        Identity.Gpu gpu = Identity.Gpu.parse("GPU-8f2c1b5e-0000-4000-8000-123456789abc", "00000000:3B:00.0");
        List<String> records = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            Identity.Gpu mine = i % 3 == 0 ? gpu : new Identity.Gpu(new UUID(0, i), false, 0, i, 0);
            records.add(hello(SPEC, PARTY.withGpu(mine), i, i).encode(SPEC.key()));
        }
        assertRefused(records, ErrorCode.DUPLICATE_GPU, "GPU-8f2c1b5e", "partition 0", "partition 3", "host-a");
    }

    @Test
    @FaultCase("F49")
    void theEquationOfTheWorldIsSpelledOut() {
        assertThatThrownBy(() -> Roster.of(records(0, h -> h).subList(0, 3), SPEC))
                .isInstanceOf(RendezvousException.class)
                .hasMessageContaining("WORLD_SIZE")
                .hasMessageContaining("world size (3)")
                .hasMessageContaining("tensor (2)");
    }

    @Test
    void theKeyTravelsAndStaysHidden() throws Exception {
        Key key = Key.random();
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(SPEC);
            out.writeObject(key);
        }
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
            assertThat(in.readObject()).isEqualTo(SPEC);
            assertThat(in.readObject()).isEqualTo(key);
        }
        assertThat(key.toString()).isEqualTo("Key[hidden]");
        assertThat(SPEC.toString()).doesNotContain("key");
        assertThat(Key.random()).isNotEqualTo(key);
        // RFC 4231, test case 6 has another key size; the value here is from the openssl command
        assertThat(java.util.HexFormat.of().formatHex(Key.of(new byte[32]).hmacSha256("a".getBytes(), "bc".getBytes())))
                .isEqualTo("fd7adb152c05ef80dccf50a1fa4c05d5a3ec6da95575fc312ae7c5d091836351");
    }
}
