package org.lockstep.transport;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Roster;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.WorldSpec;
import org.lockstep.topology.ProcessGroup;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The memory that the ranks of one group in several JVMs of one host share: a ring for each direction between two of them.
 *
 * <p>It is a file in memory, written whole by the lowest of these ranks, so that a full file system is an error here and
 * not a bus error later; readable by this user only, under a name that only who has the attempt's key can tell. The name
 * is removed as soon as all have mapped it, which all wait for: nothing is left behind whatever happens to the processes
 * then. If one does not come the others remove the name when they give up.
 *
 * <p>Confined to the thread that the communicator admitted.
 */
final class Segment implements AutoCloseable {
    private static final Path FOLDER = Path.of("/dev/shm");
    private static final long MAGIC = 0x4c4f434b53544550L; // LOCKSTEP
    private static final int RANKS = 64; // a word for each rank in group: 0 until it has mapped the file
    private static final int HERE = 1;
    private static final int LEFT = 2;
    private static final int GONE = 3;
    private static final Logger LOG = LoggerFactory.getLogger(Segment.class);
    private static final int LARGEST_RING = 256 * 1024;
    private static final int SMALLEST_RING = 4 * 1024;
    private static final long BUDGET = 16L << 20;
    private static final int ZEROS = 64 * 1024; // written at a time

    private final ProcessGroup group;
    private final Plan plan;
    private final Path path;
    private final MappedFile file;
    private final Memory memory;
    private boolean named = true;
    private boolean closed;

    /** Who shares, and where each ring is. */
    private record Plan(List<Integer> members, List<Long> pairs, int first, int ringBytes) {
        /** Of rank in group {@code me}: the ranks with whom it shares memory, those with whom they do, and all pairs. */
        static Plan of(Roster roster, ProcessGroup group, int me) {
            List<Integer> members = new ArrayList<>();
            for (int rank = 0; rank < group.size(); rank++) {
                if (rank == me || roster.transport(group.rank(me), group.rank(rank)) != TransportKind.TCP) {
                    members.add(rank);
                }
            }
            List<Long> pairs = new ArrayList<>();
            for (int from : members) {
                for (int to : members) {
                    if (from != to && roster.transport(group.rank(from), group.rank(to)) == TransportKind.SHARED) {
                        pairs.add(pair(from, to));
                    }
                }
            }
            long each = Long.highestOneBit(Math.max(1, BUDGET / Math.max(1, pairs.size())));
            int ringBytes = (int) Math.max(SMALLEST_RING, Math.min(LARGEST_RING, each));
            int first = RANKS + 8 * group.size() + 4095 & -4096;
            return new Plan(List.copyOf(members), List.copyOf(pairs), first, ringBytes);
        }

        static long pair(int from, int to) {
            return (long) from << 32 | to;
        }

        private int stride() {
            return Math.addExact(Ring.ELEMENTS, ringBytes) + 63 & -64;
        }

        int bytes() {
            return Math.toIntExact(first + (long) pairs.size() * stride());
        }

        int place(int from, int to) {
            int index = pairs.indexOf(pair(from, to));
            if (index < 0) {
                throw new IllegalArgumentException("ranks in group " + from + " and " + to + " share no memory");
            }
            return first + index * stride();
        }
    }

    private Segment(ProcessGroup group, Plan plan, Path path, MappedFile file) {
        this.group = group;
        this.plan = plan;
        this.path = path;
        this.file = file;
        this.memory = new Memory(file.bytes());
    }

    /** How a rank waits for the others to do their part: it looks again, less and less often. */
    private static final class Wait {
        private final ProcessGroup group;
        private final int me;
        private final Roster roster;
        private final Fate fate;
        private final Deadline deadline;
        private long nap = 50_000;

        Wait(ProcessGroup group, int me, Roster roster, Fate fate, Deadline deadline) {
            this.group = group;
            this.me = me;
            this.roster = roster;
            this.fate = fate;
            this.deadline = deadline;
        }

        /** A little, for rank in group {@code peer}, unless there is a reason to wait no longer. */
        void rest(int peer, String what) {
            Verdict verdict = fate.verdict();
            if (verdict != null) {
                throw new Failed(verdict);
            }
            if (Thread.currentThread().isInterrupted()) {
                throw interrupted(null);
            }
            if (deadline.passed()) {
                throw new CommunicatorException(LockstepException.report(
                                ErrorCode.RENDEZVOUS_TIMEOUT,
                                "the shared memory of " + group + " was not " + what + " in " + deadline)
                        .culprit(roster.describe(group.rank(peer))));
            }
            LockSupport.parkNanos(this, nap);
            nap = Math.min(2 * nap, 5_000_000);
        }

        CommunicatorException interrupted(@Nullable IOException cause) {
            return new CommunicatorException(LockstepException.report(
                            ErrorCode.ABORTED, "rank " + group.rank(me) + " was interrupted while connecting " + group)
                    .cause(cause));
        }
    }

    /**
     * The segment of rank in group {@code me}, made by the lowest of those who share it and mapped by all of them.
     *
     * @throws CommunicatorException RENDEZVOUS_FAILED if it cannot be made, RENDEZVOUS_TIMEOUT if somebody does not come,
     *     ABORTED if the thread is interrupted
     */
    static Segment of(Roster roster, ProcessGroup group, int me, WorldSpec spec, Fate fate, Deadline deadline) {
        Plan plan = Plan.of(roster, group, me);
        int first = plan.members().get(0);
        Path path = FOLDER.resolve(name(spec, group, first));
        Wait wait = new Wait(group, me, roster, fate, deadline);
        Segment segment = null;
        boolean complete = false;
        try {
            MappedFile file = first == me ? create(plan, path) : await(plan, path, wait, first);
            segment = new Segment(group, plan, path, file);
            segment.meet(me, wait);
            complete = true;
            return segment;
        } catch (ClosedByInterruptException interrupted) {
            throw wait.interrupted(interrupted);
        } catch (IOException failure) {
            throw new CommunicatorException(LockstepException.report(
                            ErrorCode.RENDEZVOUS_FAILED,
                            "no shared memory of " + plan.bytes() + " bytes for " + group + " in " + FOLDER + ", where "
                                    + free() + " are free: " + failure)
                    .attempt("a larger " + FOLDER + ", or spark.lockstep.transports=thread,tcp")
                    .cause(failure));
        } finally {
            if (!complete) {
                if (segment != null) {
                    segment.close();
                }
                remove(path); // who made it may be dead
            }
        }
    }

    /** Of the file, for who has the attempt's key. */
    static String name(WorldSpec spec, ProcessGroup group, int first) {
        byte[] what = ByteBuffer.allocate(28)
                .putLong(spec.attempt().getMostSignificantBits())
                .putLong(spec.attempt().getLeastSignificantBits())
                .putLong(Verdict.groupId(group))
                .putInt(first)
                .array();
        return "lockstep-" + HexFormat.of().formatHex(spec.key().hmacSha256(what), 0, 16);
    }

    private static String free() {
        try {
            return Files.getFileStore(FOLDER).getUsableSpace() + " bytes";
        } catch (IOException unknown) {
            return "unknown many";
        }
    }

    private static MappedFile create(Plan plan, Path path) throws IOException {
        Path draft = path.resolveSibling(path.getFileName() + ".new");
        try (FileChannel channel = FileChannel.open(
                draft,
                Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.READ, StandardOpenOption.WRITE),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")))) {
            try {
                ByteBuffer bytes = header(plan, ZEROS);
                for (long left = plan.bytes(); left > 0; left -= bytes.limit()) {
                    bytes.position(0).limit((int) Math.min(ZEROS, left));
                    while (bytes.hasRemaining()) {
                        channel.write(bytes);
                    }
                    bytes.putLong(0, 0).putLong(8, 0);
                }
                MappedFile file = MappedFile.of(channel, plan.bytes());
                try {
                    Files.move(draft, path, StandardCopyOption.ATOMIC_MOVE);
                    return file;
                } catch (IOException | RuntimeException failure) {
                    file.close();
                    throw failure;
                }
            } finally {
                Files.deleteIfExists(draft);
            }
        }
    }

    /** The first {@code size} bytes of the file: what it is, and zeros. */
    private static ByteBuffer header(Plan plan, int size) {
        return ByteBuffer.allocate(size)
                .order(ByteOrder.nativeOrder())
                .putLong(0, MAGIC)
                .putLong(8, plan.bytes());
    }

    private static MappedFile await(Plan plan, Path path, Wait wait, int first) throws IOException {
        while (true) {
            try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
                ByteBuffer found = ByteBuffer.allocate(16);
                channel.read(found, 0);
                if (channel.size() != plan.bytes() || !found.flip().equals(header(plan, 16))) {
                    throw new IOException(path + " of " + channel.size() + " bytes is not this group's");
                }
                return MappedFile.of(channel, plan.bytes());
            } catch (NoSuchFileException notYet) {
                wait.rest(first, "made");
            }
        }
    }

    /** All who share it are here: who closes at once must not do so before another has come. */
    private void meet(int me, Wait wait) throws IOException {
        memory.publish(RANKS + 8 * me, HERE);
        for (int peer : plan.members()) {
            while (memory.read(RANKS + 8 * peer) == 0) {
                wait.rest(peer, "mapped by all");
            }
        }
        Files.deleteIfExists(path);
        named = false;
    }

    private static void remove(Path path) {
        try {
            Files.deleteIfExists(path);
        } catch (IOException failure) {
            LOG.warn("cannot remove {}: {}", path, failure.toString());
        }
    }

    /** The link of rank in group {@code me} to {@code peer}, with whom it shares memory. */
    Link link(int me, int peer) {
        Ring out = new Ring(memory, plan.place(me, peer), plan.ringBytes());
        Ring in = new Ring(memory, plan.place(peer, me), plan.ringBytes());
        return RingLink.ofProcess(group, me, peer, out, in, () -> presence(peer));
    }

    private RingLink.Presence presence(int peer) {
        long word = memory.read(RANKS + 8 * peer);
        return word == LEFT ? RingLink.Presence.LEFT : word == GONE ? RingLink.Presence.GONE : RingLink.Presence.HERE;
    }

    /**
     * Rank in group {@code me} sends and receives no more; if not in order its peers see that here when nobody tells them
     * why.
     */
    void leave(int me, boolean orderly) {
        memory.publish(RANKS + 8 * me, orderly ? LEFT : GONE);
    }

    /** Unmaps it; no link of it may be used any more. Idempotent. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        file.close();
        if (named) {
            remove(path);
        }
    }
}
