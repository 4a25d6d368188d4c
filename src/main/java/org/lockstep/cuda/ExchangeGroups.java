package org.lockstep.cuda;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.UUID;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.collective.Carrier;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.Identity;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.Roster;
import org.lockstep.rendezvous.Venue;
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
    private final Duration trial;
    private final List<Live> live = new ArrayList<>();
    private @Nullable ExchangeKernels kernels;

    /** A group that exchanges. */
    private record Live(ExchangeMemory memory, Carriers.Life life) {
        /** The rank that the world has lost, if that is why it ended. */
        OptionalInt lost() {
            return life.firstCause()
                    .filter(cause -> cause.code() == ErrorCode.PEER_LOST)
                    .map(cause -> OptionalInt.of(cause.culprit()))
                    .orElse(OptionalInt.empty());
        }
    }

    /**
     * @param venue where the ranks of this JVM meet
     * @param attempt of the world
     * @param limit bytes of an all-reduce that goes this way
     * @param trial how long the kernels of a group may take to meet each other for the first time
     */
    ExchangeGroups(
            CudaDevice device,
            DeviceQueues queues,
            Roster roster,
            Venue venue,
            UUID attempt,
            long limit,
            Duration trial) {
        this.device = device;
        this.queues = queues;
        this.roster = roster;
        this.venue = venue;
        this.attempt = attempt;
        this.limit = limit;
        this.trial = trial;
    }

    /**
     * {@code other} with small all-reduces by kernels; on all ranks of the group, or, where something is in the way, on none.
     * As {@link Carriers#connect}.
     *
     * @param other of NCCL, or through the host
     * @param why told what is in the way, the same on all ranks, when all have given their memory back
     */
    Optional<Carrier> connect(
            ProcessGroup group,
            int me,
            Carrier host,
            Carriers.Life life,
            OperationTag tag,
            Carrier other,
            Consumer<String> why) {
        Agreement ranks = new Agreement(host, tag, group.size());
        Optional<String> obstacle = knownObstacle(group).or(() -> ranks.obstacle(slower(group, me, other)));
        if (obstacle.isPresent()) {
            why.accept(obstacle.get());
            return Optional.empty();
        }
        return meet(group, me, ranks, () -> life.requireAlive(tag), why).map(mine -> {
            live.add(new Live(mine, life));
            DeviceQueue queue = other instanceof NcclCarrier nccl ? nccl.queue() : queues.open(group, life);
            return new ExchangeCarrier(other, mine, kernels(), queue, this);
        });
    }

    /** This rank's memory, where all ranks reach that of all; else empty, and what there was is given back. */
    private Optional<ExchangeMemory> meet(
            ProcessGroup group, int me, Agreement ranks, Runnable look, Consumer<String> why) {
        ExchangeRoom room = ExchangeRoom.enter(venue, attempt, group);
        Optional<ExchangeMemory> mine = Optional.empty();
        Optional<String> obstacle;
        boolean connected = false;
        try {
            mine = ExchangeMemory.allocate(device, room, group, me, limit);
            obstacle = reach(mine, group, me, ranks, look);
            connected = obstacle.isEmpty();
            if (connected) {
                return mine;
            }
            mine.ifPresent(ExchangeMemory::unmap);
            ranks.meet(); // nobody has it mapped any more
        } finally {
            if (!connected) {
                mine.ifPresent(ExchangeMemory::end); // for what may still wait
                mine.ifPresentOrElse(ExchangeMemory::leave, () -> room.leave(() -> {}));
            }
        }
        // Memory that goes waits for its device, where a rank that went on by then would wait for this one.
        ranks.meet();
        obstacle.ifPresent(why);
        return Optional.empty();
    }

    /** What is in the way of any rank when each takes memory, reaches its peers', and all-reduces there for the first time. */
    private Optional<String> reach(
            Optional<ExchangeMemory> mine, ProcessGroup group, int me, Agreement ranks, Runnable look) {
        Optional<String> none = ranks.obstacle(
                mine.isPresent()
                        ? Optional.empty()
                        : Optional.of("the device of rank " + group.rank(me) + " has no memory for it, twice " + limit
                                + " bytes"));
        if (mine.isEmpty() || none.isPresent()) {
            return none;
        }
        List<byte[]> records = ranks.gather(mine.get().toRecord());
        Optional<String> unreached =
                mine.get().open(records, devices(group), peer -> isHere(group.rank(me), group.rank(peer)));
        if (unreached.isEmpty()) {
            kernels(); // which the driver may have to compile: before any rank's wait for another's begins
        }
        Optional<String> obstacle = ranks.obstacle(unreached);
        return obstacle.isPresent()
                ? obstacle
                : ranks.obstacle(mine.get().tryOut(kernels(), trial, look)); // nothing is between: all launch at once
    }

    /** What is in the way by what all ranks know of each other. */
    private Optional<String> knownObstacle(ProcessGroup group) {
        List<Identity> ranks = group.stream().mapToObj(this::identity).toList();
        Identity first = ranks.get(0);
        if (group.size() > PeerReduction.MOST) {
            return Optional.of("they are more than " + PeerReduction.MOST);
        }
        if (first.bootId() == 0
                || !ranks.stream()
                        .allMatch(each -> each.bootId() == first.bootId()
                                && each.hostName().equals(first.hostName()))) {
            return Optional.of("they are of several hosts, or of one that does not say which it is");
        }
        if (ranks.stream().anyMatch(each -> each.gpu() == null)) {
            return Optional.of("they share devices");
        }
        return devices(group).stream().anyMatch(Identity.Gpu::slice)
                ? Optional.of("slices of a device (MIG) reach no other's memory")
                : Optional.empty();
    }

    /** More than two that PCIe alone joins are slower so than by NCCL: vLLM leaves them to it, too, and those that it does not know. */
    private Optional<String> slower(ProcessGroup group, int me, Carrier other) {
        return other instanceof NcclCarrier && group.size() > 2
                ? Nvml.notJoined(devices(group), System.getenv())
                        .map(why -> "they are more than two, which NCCL does faster, and, as rank " + group.rank(me)
                                + " finds, " + why)
                : Optional.empty();
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
            device.finish();
            live.forEach(each -> each.memory().letGo());
            long end = System.nanoTime() + ExchangeMemory.PATIENCE;
            live.forEach(each -> each.memory().awaitPeers(end, each.lost()));
        } finally {
            List<ExchangeMemory> all = live.stream().map(Live::memory).toList();
            live.clear();
            Release.all(all.stream().<Runnable>map(memory -> memory::leave).toList());
        }
    }
}
