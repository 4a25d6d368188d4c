package org.lockstep.cuda;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Carrier;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.UniqueId;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ProcessGroup;

/**
 * The NCCL communicators of one rank: made one after the other, ended together. For groups of several ranks.
 */
final class NcclGroups implements Carriers, AutoCloseable {
    private static final Duration END = Duration.ofSeconds(5); // of what was aborted
    private static final Duration ASKING = Duration.ofSeconds(5); // at most

    private final NcclLibrary library;
    private final CudaDevice device;
    private final Function<ProcessGroup, Optional<UniqueId>> ids;
    private final NcclOptions options;
    private final Duration meeting;
    private final Duration operation;
    private final DeviceQueues queues;
    private final Consumer<String> log;
    private final NcclCalls calls = new NcclCalls();

    /**
     * What a rank of a group has for NCCL.
     *
     * @param rank in the world
     * @param version of its library
     * @param major of its device's compute capability
     * @param minor likewise
     * @param place where it is
     */
    record Equipment(int rank, int version, int major, int minor, NcclHost.Place place) {
        /** As it is told; without the rank, which is who tells. */
        byte[] toRecord() {
            ByteBuffer record = ByteBuffer.allocate(4 * Integer.BYTES + 2 * Long.BYTES);
            record.putInt(version).putInt(major).putInt(minor).putInt(place.device());
            record.putLong(place.process().getMostSignificantBits());
            record.putLong(place.process().getLeastSignificantBits());
            return record.array();
        }

        static Equipment of(int rank, byte[] told) {
            ByteBuffer record = ByteBuffer.wrap(told);
            int version = record.getInt();
            int major = record.getInt();
            int minor = record.getInt();
            int device = record.getInt();
            UUID process = new UUID(record.getLong(), record.getLong());
            return new Equipment(rank, version, major, minor, new NcclHost.Place(process, device));
        }

        /** The device, as errors call it. */
        String device() {
            return "the device of rank " + rank + ", of compute capability " + major + "." + minor;
        }
    }

    /**
     * @param ids of groups, as the meeting told them; for a group without one its first rank makes it, and tells the others
     * @param options of groups
     * @param meeting how long all ranks of a group may take to meet
     * @param operation how long one operation may take
     * @param queues of the rank
     * @param log told where something is left at the end
     */
    NcclGroups(
            NcclLibrary library,
            CudaDevice device,
            Function<ProcessGroup, Optional<UniqueId>> ids,
            NcclOptions options,
            Duration meeting,
            Duration operation,
            DeviceQueues queues,
            Consumer<String> log) {
        this.library = library;
        this.device = device;
        this.ids = ids;
        this.options = options;
        this.meeting = meeting;
        this.operation = operation;
        this.queues = queues;
        this.log = log;
    }

    /** That all ranks are here is seen by the host's group first, and once more in the end: it can name who is not. */
    @Override
    public NcclCarrier connect(ProcessGroup group, int me, Carrier host, Life life, OperationTag tag) {
        Agreement ranks = new Agreement(host, tag, group.size());
        Equipment oldest = agree(group, me, ranks);
        long start = System.nanoTime();
        UniqueId id = ids.apply(group).orElseGet(() -> shared(me, host, tag));
        device.enter();
        NcclHandle handle = NcclHandle.begin(library, calls, id, group.size(), me, options.config(group));
        boolean met = false;
        try {
            meet(handle, group, ranks, life, start);
            met = true;
        } finally {
            if (!met) {
                handle.abort();
            }
        }
        NcclQueue queue = new NcclQueue(queues.open(group, life), handle, operation, options.register());
        if (options.register()) {
            device.memory().forEach(handle::register);
        }
        return new NcclCarrier(this, queue, group.size(), me, oldest);
    }

    /**
     * Waits for NCCL, then for the other ranks: a rank that NCCL has joined learns of one that it has not, and all who it was; who does
     * not even come to say so is held by NCCL, or by the driver under it.
     *
     * @param start of the init, by {@link System#nanoTime}
     * @throws LockstepException COLLECTIVE_TIMEOUT on a rank that NCCL has not joined in time, though all ranks came to it; the others
     *     hear it of that one
     */
    private void meet(NcclHandle handle, ProcessGroup group, Agreement ranks, Life life, long start) {
        Duration asking = asking();
        Duration limit = meeting.minus(asking);
        String init = "init of " + group;
        Duration begun = Duration.ofNanos(System.nanoTime() - start);
        boolean joined = handle.awaitFor(init, limit.minus(begun), () -> life.requireAlive(init));
        Duration passed = Duration.ofNanos(System.nanoTime() - start);
        Duration left = meeting.minus(passed);
        life.begin(
                String.format(
                        Locale.ROOT,
                        "what each found of the init of %s, %.1f s after its beginning,",
                        library,
                        passed.toMillis() / 1e3),
                left.compareTo(asking) < 0 ? asking : left);
        List<byte[]> told = ranks.gather(new byte[] {(byte) (joined ? 1 : 0)});
        List<String> late = IntStream.range(0, group.size())
                .filter(rank -> told.get(rank)[0] == 0)
                .mapToObj(rank -> String.valueOf(group.rank(rank)))
                .toList();
        if (!late.isEmpty()) {
            if (joined) { // it is not the one to blame
                ranks.meet();
            }
            throw handle.late(
                    init,
                    limit,
                    ": all ranks came to it, and it has not joined " + (late.size() == 1 ? "rank " : "ranks ")
                            + String.join(",", late));
        }
        life.begin(ranks.tag(), meeting); // what else connects them
    }

    /** How long ranks wait at the end of the time to meet for those that do not say what they found: also a part of that time. */
    private Duration asking() {
        Duration part = meeting.dividedBy(4);
        return part.compareTo(ASKING) < 0 ? part : ASKING;
    }

    /**
     * That all have one NCCL, and each a device of its own, or a process; the rank whose device can do least, for with what that can
     * do the group has to be content.
     */
    private Equipment agree(ProcessGroup group, int me, Agreement ranks) {
        VisibleDevice seen = device.seen();
        Equipment mine =
                new Equipment(group.rank(me), library.version(), seen.major(), seen.minor(), NcclHost.place(seen));
        List<byte[]> told = ranks.gather(mine.toRecord());
        List<Equipment> all = IntStream.range(0, group.size())
                .mapToObj(each -> Equipment.of(group.rank(each), told.get(each)))
                .toList();
        List<Integer> versions = all.stream().map(Equipment::version).toList();
        if (versions.stream().distinct().count() > 1) {
            throw LockstepException.report(
                            ErrorCode.DISAGREEMENT, "ranks of " + group + " have NCCL " + versions + ", in their order")
                    .attempt("one NCCL on all executors: " + NcclLibrary.VARIABLE + " names it")
                    .exception();
        }
        for (Equipment each : all) {
            Optional<Equipment> beside = all.stream()
                    .filter(other -> other.rank() < each.rank() && other.place().equals(each.place()))
                    .findFirst();
            if (beside.isPresent() && !NcclHost.mayShare(System.getenv())) {
                throw NcclHost.refused(group, beside.get().rank(), each.rank());
            }
        }
        return Collections.min(all, Comparator.comparingInt(Equipment::major).thenComparingInt(Equipment::minor));
    }

    private UniqueId shared(int me, Carrier host, OperationTag tag) {
        byte[] bytes = me == 0 ? library.newId().bytes() : new byte[UniqueId.BYTES];
        HostBuffer buffer = HostBuffer.of(DataType.U8, bytes);
        host.broadcast(tag, buffer, buffer, 0);
        return UniqueId.of(bytes);
    }

    /**
     * That NCCL reduces elements of such a type in a group, as all its ranks find alike.
     *
     * @param oldest of the group
     * @throws LockstepException USAGE where library or device are too old for it
     */
    void requireReducible(DataType type, Equipment oldest) {
        if (type.isFp8()) {
            library.requireFp8(type, oldest.major(), oldest.device());
        }
    }

    boolean isAborted() {
        return calls.isAborted();
    }

    /** All groups of the rank, for they share its stream. From any thread. Idempotent. */
    void abort() {
        queues.abort(); // first, for what waits in the stream before a communicator's operation
        calls.abort();
    }

    /** Ends what is left, on the device's thread, before the device is closed. */
    @Override
    public void close() {
        abort();
        try {
            queues.dropGraphs();
        } finally {
            if (!calls.await(END)) {
                log.accept(library + " has not ended the communicators of a rank on " + device + " " + END.toSeconds()
                        + " s after their abort: they, a thread and memory of the device are left to it; NCCL_DEBUG=INFO in the"
                        + " environment of the executors tells what it waits for");
            }
        }
    }

    @Override
    public String toString() {
        return library.toString();
    }
}
