package org.lockstep.transport;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.AtomicMoveNotSupportedException;
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
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Roster;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.WorldSpec;
import org.lockstep.topology.ProcessGroup;

/**
 * The memory that the ranks of one group in several JVMs of one host share: a ring for each direction between two of them.
 *
 * <p>It is a file in memory, written whole by the lowest of these ranks, so that a full file system is an error here and
 * not a bus error later; readable by this user only, under a name that only who has the attempt's key can tell. The last
 * rank to map it removes the name, so nothing is left behind whatever happens to the processes. A rank that dies before
 * leaves the file to the creator's {@link #close}.
 *
 * <p>Confined to the thread that the communicator admitted.
 */
final class Segment implements AutoCloseable {
    private static final Path FOLDER = Path.of("/dev/shm");
    private static final long MAGIC = 0x4c4f434b53544550L; // LOCKSTEP
    private static final int ATTACHED = 64;
    private static final int LEFT = 128; // a word for each rank in group
    private static final int LARGEST_RING = 128 * 1024;
    private static final int SMALLEST_RING = 4 * 1024;
    private static final long BUDGET = 16L << 20;

    private final ProcessGroup group;
    private final Plan plan;
    private final Path path;
    private final boolean creator;
    private final MappedFile file;
    private final Memory memory;
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
            int first = LEFT + 8 * group.size() + 4095 & -4096;
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

    private Segment(ProcessGroup group, Plan plan, Path path, boolean creator, MappedFile file) {
        this.group = group;
        this.plan = plan;
        this.path = path;
        this.creator = creator;
        this.file = file;
        this.memory = new Memory(file.bytes());
    }

    /**
     * The segment of rank in group {@code me}, made by the lowest of those who share it and waited for by the others.
     *
     * @throws CommunicatorException RENDEZVOUS_FAILED if it cannot be made, RENDEZVOUS_TIMEOUT if it does not come to be
     */
    static Segment of(Roster roster, ProcessGroup group, int me, WorldSpec spec, Fate fate, Deadline deadline) {
        Plan plan = Plan.of(roster, group, me);
        int first = plan.members().get(0);
        Path path = FOLDER.resolve(name(spec, group, first));
        try {
            Segment segment = first == me
                    ? create(group, plan, path)
                    : await(group, plan, path, fate, deadline, roster.describe(group.rank(first)));
            if (segment.memory.add(ATTACHED, 1) == plan.members().size()) {
                Files.deleteIfExists(path); // all have it
            }
            return segment;
        } catch (IOException failure) {
            throw new CommunicatorException(LockstepException.report(
                            ErrorCode.RENDEZVOUS_FAILED,
                            "no shared memory of " + plan.bytes() + " bytes for " + group + " in " + FOLDER + ", where "
                                    + free() + " are free: " + failure)
                    .attempt("a larger " + FOLDER + ", or spark.lockstep.transports=thread,tcp")
                    .cause(failure));
        }
    }

    private static String name(WorldSpec spec, ProcessGroup group, int first) {
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

    private static Segment create(ProcessGroup group, Plan plan, Path path) throws IOException {
        Path draft = path.resolveSibling(path.getFileName() + ".new");
        boolean complete = false;
        try (FileChannel channel = FileChannel.open(
                draft,
                Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.READ, StandardOpenOption.WRITE),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")))) {
            ByteBuffer zeros = ByteBuffer.allocateDirect(64 * 1024);
            for (long left = plan.bytes(); left > 0; left -= zeros.limit()) {
                zeros.clear().limit((int) Math.min(zeros.capacity(), left));
                while (zeros.hasRemaining()) {
                    channel.write(zeros);
                }
            }
            MappedFile file = MappedFile.of(channel, plan.bytes());
            Segment segment = new Segment(group, plan, path, true, file);
            segment.memory.set(0, MAGIC);
            segment.memory.publish(8, plan.bytes());
            try {
                Files.move(draft, path, StandardCopyOption.ATOMIC_MOVE);
            } catch (AtomicMoveNotSupportedException impossible) {
                throw new UncheckedIOException("within one folder", impossible);
            }
            complete = true;
            return segment;
        } finally {
            if (!complete) {
                Files.deleteIfExists(draft);
            }
        }
    }

    private static Segment await(ProcessGroup group, Plan plan, Path path, Fate fate, Deadline deadline, String creator)
            throws IOException {
        while (true) {
            try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
                if (channel.size() != plan.bytes()) {
                    throw new IOException(path + " has " + channel.size() + " bytes");
                }
                Segment segment = new Segment(group, plan, path, false, MappedFile.of(channel, plan.bytes()));
                if (segment.memory.read(0) != MAGIC || segment.memory.read(8) != plan.bytes()) {
                    segment.file.close();
                    throw new IOException(path + " is not this group's segment");
                }
                return segment;
            } catch (NoSuchFileException notYet) {
                Verdict verdict = fate.verdict();
                if (verdict != null) {
                    throw new Failed(verdict);
                }
                if (Thread.currentThread().isInterrupted() || deadline.passed()) {
                    throw new CommunicatorException(LockstepException.report(
                                    ErrorCode.RENDEZVOUS_TIMEOUT,
                                    "the shared memory of " + group + " was not made in " + deadline)
                            .culprit(creator));
                }
                LockSupport.parkNanos(200_000);
            }
        }
    }

    /** The link of rank in group {@code me} to {@code peer}, with whom it shares memory. */
    Link link(int me, int peer) {
        Ring out = new Ring(memory, plan.place(me, peer), plan.ringBytes());
        Ring in = new Ring(memory, plan.place(peer, me), plan.ringBytes());
        return RingLink.ofProcess(group, me, peer, out, in, () -> memory.read(LEFT + 8 * peer) != 0);
    }

    /** Rank in group {@code me} sends and receives no more. */
    void leave(int me) {
        memory.publish(LEFT + 8 * me, 1);
    }

    /** Unmaps it; no link of it may be used any more. Idempotent. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        file.close();
        if (creator) {
            try {
                Files.deleteIfExists(path); // if somebody never came to map it
            } catch (IOException failure) {
                throw new UncheckedIOException("cannot remove " + path, failure);
            }
        }
    }
}
