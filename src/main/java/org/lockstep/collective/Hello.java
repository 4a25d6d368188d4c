package org.lockstep.collective;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.UUID;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.HelloBytes.Reader;
import org.lockstep.collective.HelloBytes.Writer;
import org.lockstep.topology.Axis;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.RankOrder;

/**
 * What one party tells all others in the one meeting of an attempt: base64 text of at most {@link #MAX_CHARS} characters,
 * unique ids apart, signed with the attempt's key.
 *
 * <p>Bytes: {@code 'L'}, protocol, attempt (16), then the other components in their order (the identity's GPU after the
 * port), then ten bytes of HMAC-SHA256 over all before. The protocol and the attempt have fixed places so that a record
 * of another version or attempt is told as such. Long names are shortened (the application's for all parties alike, the
 * host's for all parties of a host alike), of many addresses the first that fit are kept, and the hints at single settings
 * take what room is left, none if need be. Immutable.
 *
 * @param attempt of which {@link WorldSpec}
 * @param version of Lockstep, at most 8 bytes
 * @param identity of the party
 * @param partition index of the party in the meeting
 * @param venue tells the JVM: equal for parties that share heap objects
 * @param backend name, at most 6 bytes
 * @param addresses IP literals, best first: as many of them as the record has room for
 * @param port behind all of them, 0 if there is none
 * @param sizes as the party was told them; one may be -1
 * @param order as the party was told it
 * @param settings what else must be equal
 * @param tenure the rank that this party already is in a world that stays, if it holds one
 * @param ids this party's share of unique ids, at most 255
 */
public record Hello(
        UUID attempt,
        String version,
        Identity identity,
        int partition,
        long venue,
        String backend,
        List<String> addresses,
        int port,
        ParallelSizes sizes,
        RankOrder order,
        Settings settings,
        @Nullable Tenure tenure,
        List<UniqueId> ids) {

    /** The version of this format, and of everything said afterwards. */
    public static final int PROTOCOL = 2;

    /** The longest text, but for 128 bytes an id. */
    public static final int MAX_CHARS = 256;

    private static final int MAGIC = 'L';
    private static final int TAG_BYTES = 10;
    private static final int ROOM = MAX_CHARS / 4 * 3 - TAG_BYTES;
    private static final int VERSION_BYTES = 8;
    private static final int APPLICATION_BYTES = 17;
    private static final int HOST_BYTES = 28;
    private static final int HOST_LEAST = 8; // what the largest numbers leave, those of sizes that no world has apart
    private static final int BACKEND_BYTES = 6;
    private static final List<Axis> AXES = List.of(Axis.TP, Axis.CP, Axis.EP, Axis.DP, Axis.PP); // digits of the order
    private static final int ADDRESS_BYTES =
            22; // for addresses in any case: one of each kind, or four of the short one
    private static final int PARTITION_BYTES = 5;
    private static final int GPU_BYTES = 22;
    private static final int TENURE_RANK_BYTES = 3;
    private static final int TENURE_SESSION_BYTES = 4;
    // protocol 18, boot id 8, memory 4, venue 8, count 1, port 2, GPU or none 1, order 2, digest 6, tenure 7, two
    // counts
    private static final int FIXED_BYTES = 59;

    /**
     * A digest of what must be equal on all parties.
     *
     * @param digest 48 bits over names and values
     * @param hints a byte for each setting in the order of names, as far as the record had room: enough to name which
     *     one differs
     */
    public record Settings(long digest, List<Byte> hints) {
        public Settings {
            hints = List.copyOf(hints);
        }
    }

    /**
     * A rank in a world that an earlier meeting connected and that stays.
     *
     * @param rank 0 to 2^24 - 2
     * @param session tells that world from others
     */
    public record Tenure(int rank, int session) {
        private static final int MOST = (1 << (8 * TENURE_RANK_BYTES)) - 2;

        public Tenure {
            if (rank < 0 || rank > MOST) {
                throw new IllegalArgumentException("rank (" + rank + ") is not in 0.." + MOST);
            }
        }
    }

    /** The record of a party that holds no rank yet. */
    public Hello(
            UUID attempt,
            String version,
            Identity identity,
            int partition,
            long venue,
            String backend,
            List<String> addresses,
            int port,
            ParallelSizes sizes,
            RankOrder order,
            Settings settings,
            List<UniqueId> ids) {
        this(attempt, version, identity, partition, venue, backend, addresses, port, sizes, order, settings, null, ids);
    }

    public Hello {
        version = HelloBytes.fit(version, VERSION_BYTES);
        backend = HelloBytes.fit(backend, BACKEND_BYTES);
        String application = HelloBytes.fit(identity.application(), APPLICATION_BYTES);
        // What differs between the parties of a host counts at its longest: their host's name must not differ too.
        int left = ROOM
                - FIXED_BYTES
                - textSize(version)
                - textSize(application)
                - HelloBytes.numberSize(identity.stage())
                - HelloBytes.numberSize(identity.stageAttempt())
                - PARTITION_BYTES
                - textSize(backend)
                - ADDRESS_BYTES
                - GPU_BYTES
                - sizes(sizes).map(HelloBytes::numberSize).sum()
                - 1;
        if (left < HOST_LEAST) {
            throw new IllegalArgumentException("sizes (" + sizes + ") are too large for any world");
        }
        String hostName = HelloBytes.fit(identity.hostName(), Math.min(HOST_BYTES, left));
        identity = new Identity(
                application,
                identity.stage(),
                identity.stageAttempt(),
                identity.bootId(),
                identity.memory(),
                hostName,
                identity.gpu());
        ids = List.copyOf(ids);
        if (partition < 0 || port < 0 || port > 65535 || ids.size() > 255) {
            throw new IllegalArgumentException("partition (" + partition + ") must not be negative, port (" + port
                    + ") be in 0..65535, ids (" + ids.size() + ") at most 255");
        }
        int room = left
                - textSize(hostName)
                + 1
                + PARTITION_BYTES
                - HelloBytes.numberSize(partition)
                + ADDRESS_BYTES
                + (identity.gpu() == null ? GPU_BYTES : 0);
        addresses = shortList(addresses, room);
        room -= addresses.stream().mapToInt(Hello::addressSize).sum();
        if (settings.hints().size() > room) {
            settings = new Settings(settings.digest(), settings.hints().subList(0, room));
        }
    }

    /** Without those that do not fit into so many bytes; a short one may where a long one before it does not. */
    private static List<String> shortList(List<String> all, int room) {
        List<String> kept = new ArrayList<>();
        int left = room;
        for (String literal : all) {
            String address = HelloBytes.parse(literal).getHostAddress();
            if (addressSize(address) <= left) {
                left -= addressSize(address);
                kept.add(address);
            }
        }
        return List.copyOf(kept);
    }

    private static int textSize(String text) {
        return 1 + text.getBytes(StandardCharsets.UTF_8).length;
    }

    private static int addressSize(String literal) {
        return literal.indexOf(':') < 0 ? 5 : 17;
    }

    /** As numbers that are not negative: -1 is a size, and two of them may be absent. */
    private static IntStream sizes(ParallelSizes sizes) {
        return IntStream.of(
                sizes.tp() + 1,
                sizes.cp() + 1,
                sizes.ep() + 1,
                sizes.dp() + 1,
                sizes.pp() + 1,
                sizes.etp() + 1,
                sizes.edp() + 1,
                absentOrMore(sizes.virtualPipeline()),
                absentOrMore(sizes.splitRank()));
    }

    private static int absentOrMore(@Nullable Integer value) {
        return value == null ? 0 : value + 1;
    }

    /** The record's text, signed. */
    public String encode(Key key) {
        Writer out = body(attempt, version, identity, partition, venue, backend, addresses, port, sizes, order)
                .fixed(settings.digest(), 6)
                .octet(settings.hints().size());
        settings.hints().forEach(out::octet);
        out.fixed(tenure == null ? 0 : tenure.rank() + 1, TENURE_RANK_BYTES)
                .fixed(tenure == null ? 0 : tenure.session(), TENURE_SESSION_BYTES)
                .octet(ids.size());
        ids.forEach(id -> out.raw(id.bytes()));
        byte[] signed = out.toBytes();
        out.raw(Arrays.copyOf(key.hmacSha256(signed), TAG_BYTES));
        return Base64.getEncoder().withoutPadding().encodeToString(out.toBytes());
    }

    private static Writer body(
            UUID attempt,
            String version,
            Identity identity,
            int partition,
            long venue,
            String backend,
            List<String> addresses,
            int port,
            ParallelSizes sizes,
            RankOrder order) {
        Writer out = new Writer()
                .octet(MAGIC)
                .octet(PROTOCOL)
                .uuid(attempt)
                .text(version)
                .text(identity.application())
                .number(identity.stage())
                .number(identity.stageAttempt())
                .fixed(identity.bootId(), 8)
                .fixed(identity.memory(), 4)
                .text(identity.hostName())
                .number(partition)
                .fixed(venue, 8)
                .text(backend)
                .octet(addresses.size());
        addresses.forEach(out::address);
        out.fixed(port, 2);
        Identity.Gpu gpu = identity.gpu();
        out.octet(gpu == null ? 0 : gpu.slice() ? 2 : 1);
        if (gpu != null) {
            out.uuid(gpu.uuid()).fixed(gpu.domain(), 4).octet(gpu.bus()).octet(gpu.device());
        }
        sizes(sizes).forEach(out::number);
        int axes = 0; // digits in base 6, the first axis lowest; 0 ends
        for (int i = order.axes().size() - 1; i >= 0; i--) {
            axes = axes * 6 + AXES.indexOf(order.axes().get(i)) + 1;
        }
        return out.fixed(axes, 2);
    }

    /**
     * The record of a text.
     *
     * @throws IllegalArgumentException with the reason, if it is not the text of a record signed with {@code key}
     */
    public static Hello decode(String text, Key key) {
        byte[] bytes = bytes(text);
        int end = bytes.length - TAG_BYTES;
        int protocol = bytes[1] & 0xff;
        if (protocol != PROTOCOL) {
            throw new IllegalArgumentException("protocol (" + protocol + ") is not " + PROTOCOL);
        }
        byte[] tag = Arrays.copyOfRange(bytes, end, bytes.length);
        byte[] wanted = Arrays.copyOf(key.hmacSha256(Arrays.copyOf(bytes, end)), TAG_BYTES);
        if (!MessageDigest.isEqual(tag, wanted)) {
            throw new IllegalArgumentException("it was not signed with this attempt's key");
        }
        Reader in = new Reader(bytes, end);
        in.raw(2);
        UUID attempt = in.uuid();
        String version = in.text(VERSION_BYTES);
        String application = in.text(APPLICATION_BYTES);
        int stage = in.number();
        int stageAttempt = in.number();
        long bootId = in.fixed(8);
        int memory = (int) in.fixed(4);
        String hostName = in.text(HOST_BYTES);
        int partition = in.number();
        long venue = in.fixed(8);
        String backend = in.text(BACKEND_BYTES);
        List<String> addresses = new ArrayList<>();
        for (int left = in.octet(); left > 0; left--) {
            addresses.add(in.address());
        }
        int port = (int) in.fixed(2);
        Identity identity =
                new Identity(application, stage, stageAttempt, bootId, memory, hostName, gpu(in.octet(), in));
        ParallelSizes sizes = new ParallelSizes(
                in.number() - 1,
                in.number() - 1,
                in.number() - 1,
                in.number() - 1,
                in.number() - 1,
                in.number() - 1,
                in.number() - 1,
                optional(in.number()),
                optional(in.number()));
        RankOrder order = order((int) in.fixed(2));
        long digest = in.fixed(6);
        List<Byte> hints = new ArrayList<>();
        for (int left = in.octet(); left > 0; left--) {
            hints.add((byte) in.octet());
        }
        Tenure tenure = tenure((int) in.fixed(TENURE_RANK_BYTES), (int) in.fixed(TENURE_SESSION_BYTES));
        List<UniqueId> ids = new ArrayList<>();
        for (int left = in.octet(); left > 0; left--) {
            ids.add(UniqueId.of(in.raw(UniqueId.BYTES)));
        }
        if (in.remaining() != 0) {
            throw new IllegalArgumentException(in.remaining() + " bytes are left over");
        }
        Settings settings = new Settings(digest, hints);
        return new Hello(
                attempt, version, identity, partition, venue, backend, addresses, port, sizes, order, settings, tenure,
                ids);
    }

    private static @Nullable Tenure tenure(int rankOrNone, int session) {
        return rankOrNone == 0 ? null : new Tenure(rankOrNone - 1, session);
    }

    private static Identity.@Nullable Gpu gpu(int kind, Reader in) {
        return switch (kind) {
            case 0 -> null;
            case 1, 2 -> new Identity.Gpu(in.uuid(), kind == 2, (int) in.fixed(4), in.octet(), in.octet());
            default -> throw new IllegalArgumentException("device kind (" + kind + ") is not 0, 1 or 2");
        };
    }

    private static @Nullable Integer optional(int value) {
        return value == 0 ? null : value - 1;
    }

    private static RankOrder order(int digits) {
        List<Axis> axes = new ArrayList<>();
        for (int rest = digits; rest > 0; rest /= 6) {
            if (rest % 6 == 0) {
                throw new IllegalArgumentException("order (" + digits + ") has a gap");
            }
            axes.add(AXES.get(rest % 6 - 1));
        }
        return new RankOrder(axes);
    }

    /** The protocol of a text that need not be of this version. */
    static int protocol(String text) {
        return bytes(text)[1] & 0xff;
    }

    /** The attempt of a text of this protocol, before its signature is believed: only to say what is wrong with it. */
    static UUID attempt(String text) {
        byte[] bytes = bytes(text);
        Reader in = new Reader(bytes, bytes.length);
        in.raw(2);
        return in.uuid();
    }

    private static byte[] bytes(String text) {
        if (text.length() > MAX_CHARS + 255 * (UniqueId.BYTES / 3 + 1) * 4) {
            throw new IllegalArgumentException("it has " + text.length() + " characters");
        }
        byte[] bytes = Base64.getDecoder().decode(text);
        if (bytes.length < 18 + TAG_BYTES || bytes[0] != MAGIC) {
            throw new IllegalArgumentException("it is not a record of Lockstep");
        }
        return bytes;
    }
}
