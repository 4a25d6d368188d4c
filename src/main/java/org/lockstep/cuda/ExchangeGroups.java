package org.lockstep.cuda;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.UUID;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.Carrier;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.Identity;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.Roster;
import org.lockstep.rendezvous.Venue;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ProcessGroup;

/**
 * The groups of one rank that all-reduce by kernels which wait for each other: those of at most {@value PeerReduction#MOST} ranks on
 * one host, each with a device of its own, which reach each other. Kernels of two processes on one device would take turns by time
 * slices. Confined to the rank's thread, but for {@link #abort}.
 */
final class ExchangeGroups implements AutoCloseable {
    private final CudaDevice device;
    private final DeviceQueues queues;
    private final Roster roster;
    private final Venue venue;
    private final UUID attempt;
    private final long limit;
    private final List<ExchangeMemory> live = new ArrayList<>();
    private @Nullable ExchangeKernels kernels;

    /**
     * @param venue where the ranks of this JVM meet
     * @param attempt of the world
     * @param limit bytes of an all-reduce that goes this way
     */
    ExchangeGroups(CudaDevice device, DeviceQueues queues, Roster roster, Venue venue, UUID attempt, long limit) {
        this.device = device;
        this.queues = queues;
        this.roster = roster;
        this.venue = venue;
        this.attempt = attempt;
        this.limit = limit;
    }

    /**
     * {@code other} with small all-reduces by kernels; on all ranks of the group, or, where one does not reach another, on none.
     * As {@link Carriers#connect}.
     *
     * @param other of NCCL, or through the host
     */
    Optional<Carrier> connect(
            ProcessGroup group, int me, Carrier host, Carriers.Life life, OperationTag tag, Carrier other) {
        if (!isSuitable(group)) {
            return Optional.empty();
        }
        Optional<ExchangeMemory> mine = meet(group, me, host, tag);
        if (mine.isEmpty()) {
            // Memory that goes waits for its device, where a rank that went on by then would wait for this one.
            gather(host, tag, group.size(), new byte[1]);
            return Optional.empty();
        }
        live.add(mine.get());
        DeviceQueue queue = other instanceof NcclCarrier nccl ? nccl.queue() : queues.open(group, life);
        return Optional.of(new ExchangeCarrier(other, mine.get(), kernels(), queue, this));
    }

    /** This rank's memory, where all ranks reach that of all; else empty, and what there was is given back. */
    private Optional<ExchangeMemory> meet(ProcessGroup group, int me, Carrier host, OperationTag tag) {
        ExchangeRoom room = ExchangeRoom.enter(venue, attempt, group);
        Optional<ExchangeMemory> mine = Optional.empty();
        boolean connected = false;
        try {
            mine = ExchangeMemory.allocate(device, room, group, me, limit);
            byte[] record = mine.map(ExchangeMemory::toRecord).orElse(new byte[ExchangeMemory.RECORD]);
            List<byte[]> records = gather(host, tag, group.size(), record);
            boolean reached = mine.isPresent()
                    && mine.get().open(records, devices(group), peer -> isHere(group.rank(me), group.rank(peer)));
            if (reached) {
                kernels(); // which the driver may have to compile: before any rank's wait for another's begins
            }
            connected = gather(host, tag, group.size(), new byte[] {(byte) (reached ? 1 : 0)}).stream()
                    .allMatch(each -> each[0] == 1);
            if (!connected) {
                mine.ifPresent(ExchangeMemory::letGo);
                gather(host, tag, group.size(), new byte[1]); // nobody has it mapped any more
                return Optional.empty();
            }
            return mine;
        } finally {
            if (!connected) {
                mine.ifPresentOrElse(ExchangeMemory::leave, () -> room.leave(() -> {}));
            }
        }
    }

    /** By what all ranks know of each other. */
    private boolean isSuitable(ProcessGroup group) {
        Identity first = identity(group.first());
        return group.size() <= PeerReduction.MOST
                && first.bootId() != 0
                && group.stream()
                        .mapToObj(this::identity)
                        .allMatch(each -> each.bootId() == first.bootId()
                                && each.hostName().equals(first.hostName())
                                && each.gpu() != null
                                && !each.gpu().slice()); // slices reach nobody
    }

    private Identity identity(int rank) {
        return roster.hello(rank).identity();
    }

    private List<Identity.Gpu> devices(ProcessGroup group) {
        return group.stream()
                .mapToObj(rank -> Objects.requireNonNull(identity(rank).gpu()))
                .toList();
    }

    private boolean isHere(int me, int rank) {
        return roster.hello(me).venue() == roster.hello(rank).venue();
    }

    /** What all ranks say, which is of one length. */
    private static List<byte[]> gather(Carrier host, OperationTag tag, int size, byte[] mine) {
        HostBuffer all = HostBuffer.allocate(DataType.U8, (long) size * mine.length);
        host.allGather(tag, HostBuffer.of(DataType.U8, mine), all, Blocks.even(size, mine.length));
        return IntStream.range(0, size)
                .mapToObj(rank -> Arrays.copyOfRange(all.byteArray(), rank * mine.length, (rank + 1) * mine.length))
                .toList();
    }

    private ExchangeKernels kernels() {
        ExchangeKernels loaded = kernels;
        if (loaded == null) {
            loaded = ExchangeKernels.load(device);
            kernels = loaded;
        }
        return loaded;
    }

    boolean isAborted() {
        return queues.isAborted();
    }

    /** All groups of the rank, for they share its stream. From any thread. Idempotent. */
    void abort() {
        queues.abort();
    }

    /** Gives all back, on the device's thread, when nothing of it can be under way any more. Idempotent. */
    @Override
    public void close() {
        ExchangeKernels loaded = kernels;
        kernels = null;
        try (loaded) {
            device.enter();
            device.synchronize();
            live.forEach(ExchangeMemory::letGo);
            long end = System.nanoTime() + ExchangeMemory.PATIENCE;
            live.forEach(memory -> memory.awaitPeers(end));
        } finally {
            live.forEach(ExchangeMemory::leave);
            live.clear();
        }
    }
}
