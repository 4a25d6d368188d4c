package org.lockstep.cuda;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Carrier;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.OperationTag;
import org.lockstep.rendezvous.Venue;
import org.lockstep.topology.ProcessGroup;

/** The groups of one rank whose ranks are all of its JVM, and read each other's device memory. Confined to the rank's thread. */
final class PeerGroups implements AutoCloseable {
    private final CudaDevice device;
    private final Venue venue;
    private final UUID attempt;
    private final Duration operation;
    private final List<PeerCarrier> live = new ArrayList<>();
    private @Nullable PeerReduction reduction; // of all groups: they share a stream
    private @Nullable PeerWatch watch; // the same

    /**
     * @param venue where the ranks of this JVM meet
     * @param attempt of the world
     * @param operation how long one operation may take
     */
    PeerGroups(CudaDevice device, Venue venue, UUID attempt, Duration operation) {
        this.device = device;
        this.venue = venue;
        this.attempt = attempt;
        this.operation = operation;
    }

    /**
     * The carrier of a group whose ranks are all of this JVM; empty, on all of them, where something is in the way: a device that does
     * not reach another, or more ranks than {@value PeerReduction#MOST}. As {@link Carriers#connect}.
     *
     * @param why told what is in the way, the same on all ranks
     */
    Optional<Carrier> connect(
            ProcessGroup group, int me, Carrier host, Carriers.Life life, OperationTag tag, Consumer<String> why) {
        if (group.size() > PeerReduction.MOST) {
            why.accept("they are more than " + PeerReduction.MOST);
            return Optional.empty();
        }
        Agreement ranks = new Agreement(host, tag, group.size());
        PeerGroup peers = PeerGroup.enter(venue, attempt, group, me, device);
        PeerCarrier made = null;
        Optional<String> obstacle;
        try {
            ranks.meet(); // all have come
            obstacle = ranks.obstacle(reach(peers, group, me));
            if (obstacle.isEmpty()) {
                made = new PeerCarrier(peers, group, me, host, life, reduction(), watch(), operation);
                live.add(made);
            }
        } finally {
            if (made == null) {
                peers.leave(me);
                peers.end(me);
            }
        }
        obstacle.ifPresent(why);
        return Optional.ofNullable(made);
    }

    /** What is in the way of this rank to its peers' memory, if anything is. */
    private Optional<String> reach(PeerGroup peers, ProcessGroup group, int me) {
        for (int peer = 0; peer < group.size(); peer++) {
            CudaDevice other = peers.device(peer);
            if (!device.peers().reaches(other.peers())) {
                return Optional.of(
                        "the device of rank " + group.rank(me) + " does not reach that of rank " + group.rank(peer));
            }
            if (!device.peers().open(other.peers())) {
                return Optional.of(
                        "the device of rank " + group.rank(me) + " has as many peers as the driver lets it have");
            }
        }
        return Optional.empty();
    }

    private PeerReduction reduction() {
        PeerReduction open = reduction;
        if (open == null) {
            open = new PeerReduction(device, KernelModule.load(device, List.of(PeerReduction.SOURCE)));
            reduction = open;
        }
        return open;
    }

    private PeerWatch watch() {
        PeerWatch open = watch;
        if (open == null) {
            open = new PeerWatch(device, operation);
            watch = open;
        }
        return open;
    }

    /** Waits until no peer reads this rank's memory any more, which may be given back then. Idempotent. */
    @Override
    public void close() {
        live.forEach(PeerCarrier::abort);
        PeerReduction made = reduction;
        reduction = null;
        PeerWatch watching = watch;
        watch = null;
        try (made;
                watching) {
            device.enter();
            device.finish();
        } finally {
            List<PeerCarrier> all = List.copyOf(live);
            live.clear();
            Release.all(all.stream().<Runnable>map(carrier -> carrier::end).toList());
        }
    }
}
