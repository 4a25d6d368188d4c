package org.lockstep.cuda;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.Carrier;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.OperationTag;
import org.lockstep.rendezvous.Venue;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ProcessGroup;

/** The groups of one rank whose ranks are all of its JVM, and read each other's device memory. Confined to the rank's thread. */
final class PeerGroups implements AutoCloseable {
    private final CudaDevice device;
    private final Venue venue;
    private final UUID attempt;
    private final Duration operation;
    private final List<PeerCarrier> live = new ArrayList<>();
    private @Nullable PeerReduction reduction; // of all groups: they share a stream

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
     * The carrier of a group whose ranks are all of this JVM; empty, on all of them, where a device does not reach another or the
     * ranks are more than {@value PeerReduction#MOST}. As {@link Carriers#connect}.
     */
    Optional<Carrier> connect(ProcessGroup group, int me, Carrier host, Carriers.Life life, OperationTag tag) {
        if (group.size() > PeerReduction.MOST) {
            return Optional.empty();
        }
        PeerGroup peers = PeerGroup.enter(venue, attempt, group, me, device);
        PeerCarrier made = null;
        try {
            host.allGather(
                    tag,
                    HostBuffer.allocate(DataType.U8, 1),
                    HostBuffer.allocate(DataType.U8, group.size()),
                    Blocks.even(group.size(), 1)); // all have come
            List<CudaDevice> devices =
                    IntStream.range(0, group.size()).mapToObj(peers::device).toList();
            if (devices.stream().allMatch(from -> devices.stream().allMatch(from::reaches))) {
                devices.forEach(device::open);
                made = new PeerCarrier(peers, group, me, host, life, reduction(), operation);
                live.add(made);
            }
            return Optional.ofNullable(made);
        } finally {
            if (made == null) {
                peers.leave(me);
                peers.end(me);
            }
        }
    }

    private PeerReduction reduction() {
        PeerReduction open = reduction;
        if (open == null) {
            open = new PeerReduction(device, KernelModule.load(device, List.of(PeerReduction.SOURCE)));
            reduction = open;
        }
        return open;
    }

    /** Waits until no peer reads this rank's memory any more, which may be given back then. Idempotent. */
    @Override
    public void close() {
        live.forEach(PeerCarrier::abort);
        PeerReduction made = reduction;
        reduction = null;
        try (made) {
            device.enter();
            device.synchronize();
        } finally {
            live.forEach(PeerCarrier::end);
            live.clear();
        }
    }
}
