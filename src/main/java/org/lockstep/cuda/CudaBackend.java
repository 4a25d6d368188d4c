package org.lockstep.cuda;

import java.time.Duration;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Backend;
import org.lockstep.collective.Identity;
import org.lockstep.collective.OperationTerms;
import org.lockstep.collective.Roster;
import org.lockstep.collective.UniqueId;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.Venue;
import org.lockstep.tensor.Kernels;
import org.lockstep.topology.ProcessGroup;

/**
 * A GPU as a rank's device: kernels on it, and groups that another backend connects in host memory. Buffers of the device travel
 * in them by NCCL, through memory that they reach, or through the host. One to a rank.
 *
 * <p>Memory is taken from the device with the first {@link #kernels}, but for what groups exchange in, not before: a rank that stays may
 * hold it until then.
 */
public final class CudaBackend implements Backend {
    /** Part of the time of a meeting that kernels may take to meet: ranks whose kernels do not agree what to do then in the rest. */
    private static final int TRIALS = 4;

    private final VisibleDevice seen;
    private final Backend host;
    private final CudaOptions options;
    private final @Nullable NcclLibrary nccl;
    private final Consumer<String> log;
    private Duration limit = OperationTerms.DEFAULT.timeout(); // of what is the device's own; guarded by this
    private @Nullable CudaDevice device; // guarded by this
    private @Nullable CudaKernels kernels; // guarded by this; the device's owner
    private @Nullable DeviceQueues queues; // guarded by this
    private @Nullable NcclGroups groups; // guarded by this
    private @Nullable ExchangeGroups exchanges; // guarded by this
    private @Nullable PeerGroups peers; // guarded by this
    private boolean closed; // guarded by this

    private CudaBackend(
            VisibleDevice seen, Backend host, CudaOptions options, @Nullable NcclLibrary nccl, Consumer<String> log) {
        this.seen = seen;
        this.host = host;
        this.options = options;
        this.nccl = nccl;
        this.log = log;
    }

    /** As below, of whose groups nobody wants to hear. */
    public static CudaBackend create(VisibleDevice device, Backend host, CudaOptions options) {
        return create(device, host, options, line -> {});
    }

    /**
     * A backend on a device that {@link CudaDriver} has found.
     *
     * @param host connects the groups, for buffers in host memory; closed with this
     * @param log told in a line of each group, by its first rank, why it does not exchange through memory that its devices reach
     * @throws org.lockstep.LockstepException NO_LIBRARY, NO_EFFECT or USAGE where NCCL cannot be as the options ask for it
     */
    public static CudaBackend create(VisibleDevice device, Backend host, CudaOptions options, Consumer<String> log) {
        Optional<NcclLibrary> nccl = options.peer().use() == Use.ON
                ? Optional.empty()
                : options.nccl().find(options.ranksPerDevice(), System.getenv());
        return new CudaBackend(device, host, options, nccl.orElse(null), log);
    }

    /** Tells also how buffers of the device travel: ranks that do it in different ways refuse each other. */
    @Override
    public String name() {
        return nccl == null ? "cuda" : "nccl";
    }

    /** The device, where this rank has it for itself: ranks that share one are not told apart by it. */
    @Override
    public Optional<Identity.Gpu> gpu() {
        return options.ranksPerDevice() > 1 ? Optional.empty() : Optional.of(seen.gpu());
    }

    /**
     * That NCCL joins the ranks of a group which share devices.
     *
     * @throws org.lockstep.LockstepException NO_EFFECT as {@link NcclHost#requireOne}
     */
    void requireJoined(ProcessGroup group, Roster roster) {
        if (options.ranksPerDevice() > 1) {
            NcclHost.requireOne(group, roster, System.getenv());
        }
    }

    Optional<NcclLibrary> nccl() {
        return Optional.ofNullable(nccl);
    }

    /** What makes NCCL's communicators of this rank, which it ends when it closes. */
    synchronized NcclGroups groups(Function<ProcessGroup, Optional<UniqueId>> ids, WorldSpec spec) {
        NcclGroups made = new NcclGroups(
                Objects.requireNonNull(nccl),
                device(),
                ids,
                options.nccl(),
                spec.meetingTimeout(),
                spec.operations().timeout(),
                queues(spec),
                log);
        groups = made;
        return made;
    }

    private synchronized DeviceQueues queues(WorldSpec spec) {
        DeviceQueues made = queues;
        if (made == null) {
            made = new DeviceQueues(
                    device(), spec.operations().timeout(), options.nccl().highPriority(), this::dropGraphs);
            queues = made;
        }
        return made;
    }

    private synchronized void dropGraphs() {
        CudaKernels made = kernels;
        if (made != null) {
            made.dropGraphs();
        }
    }

    /** What connects groups of this rank whose kernels wait for each other. */
    synchronized ExchangeGroups exchanges(Venue venue, Roster roster, WorldSpec spec) {
        ExchangeGroups made = new ExchangeGroups(
                device(),
                queues(spec),
                roster,
                venue,
                spec.attempt(),
                options.peer().limit(),
                spec.meetingTimeout().dividedBy(TRIALS));
        exchanges = made;
        return made;
    }

    PeerOptions peer() {
        return options.peer();
    }

    /** Tells whoever made this. */
    void tell(String line) {
        log.accept(line);
    }

    /** What connects groups of this rank that read each other's memory, which it leaves when it closes. */
    synchronized PeerGroups peers(Venue venue, WorldSpec spec) {
        PeerGroups made = new PeerGroups(
                device(), venue, spec.attempt(), spec.operations().timeout());
        peers = made;
        return made;
    }

    private CudaDevice device() {
        if (closed) {
            throw new IllegalStateException("the backend is closed");
        }
        CudaDevice open = device;
        if (open == null) {
            open = CudaDevice.open(seen);
            open.limit(limit);
            device = open;
        }
        return open;
    }

    /**
     * The kernels, made by the first call.
     *
     * @throws org.lockstep.LockstepException NO_LIBRARY without a cuBLAS, OUT_OF_MEMORY, DEVICE_FAULT, DEVICE_LOST
     */
    @Override
    public synchronized Kernels kernels() {
        CudaKernels made = kernels;
        if (made == null) {
            made = CudaKernels.create(device(), options);
            kernels = made;
        }
        return made;
    }

    @Override
    public Endpoint open(Venue venue, WorldSpec spec) {
        limit(spec.operations().timeout());
        return new CudaEndpoint(host.open(venue, spec), venue, spec, this);
    }

    private synchronized void limit(Duration operation) {
        limit = operation;
        CudaDevice open = device;
        if (open != null) {
            open.limit(operation);
        }
    }

    @Override
    public void close() {
        try (host) {
            end();
        }
    }

    private synchronized void end() {
        if (closed) {
            return;
        }
        CudaKernels made = kernels;
        CudaDevice unused = made == null ? device : null; // else the kernels close it
        DeviceQueues looked = queues;
        NcclGroups connected = groups;
        ExchangeGroups exchanging = exchanges;
        PeerGroups reading = peers;
        try (unused;
                made;
                exchanging; // when nothing waits for others any more
                reading;
                looked;
                connected) {
            closed = true;
        } finally {
            kernels = null;
        }
    }

    @Override
    public String toString() {
        return "cuda on " + seen + (nccl == null ? "" : ", " + nccl);
    }
}
