package org.lockstep.cuda;

import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Backend;
import org.lockstep.collective.Communicators;
import org.lockstep.collective.Identity;
import org.lockstep.collective.Roster;
import org.lockstep.collective.UniqueId;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.Venue;
import org.lockstep.tensor.Kernels;
import org.lockstep.topology.ParallelState;

/**
 * A GPU as a rank's device: kernels on it, and groups that another backend connects in host memory, through which buffers of
 * the device are staged. One to a rank.
 *
 * <p>Memory is taken from the device with the first {@link #kernels}, not before: a rank that stays may hold it until then.
 */
public final class CudaBackend implements Backend {
    private final VisibleDevice seen;
    private final Backend host;
    private final CudaOptions options;
    private @Nullable CudaKernels kernels; // guarded by this
    private boolean closed; // guarded by this

    private CudaBackend(VisibleDevice seen, Backend host, CudaOptions options) {
        this.seen = seen;
        this.host = host;
        this.options = options;
    }

    /**
     * A backend on a device that {@link CudaDriver} has found.
     *
     * @param host connects the groups, for buffers in host memory; closed with this
     */
    public static CudaBackend create(VisibleDevice device, Backend host, CudaOptions options) {
        return new CudaBackend(device, host, options);
    }

    @Override
    public String name() {
        return "cuda";
    }

    /** The device, where this rank has it for itself: ranks that share one are not told apart by it. */
    @Override
    public Optional<Identity.Gpu> gpu() {
        return options.ranksPerDevice() > 1 ? Optional.empty() : Optional.of(seen.gpu());
    }

    /**
     * The kernels, made by the first call.
     *
     * @throws org.lockstep.LockstepException NO_LIBRARY without a cuBLAS, OUT_OF_MEMORY, DEVICE_FAULT
     */
    @Override
    public synchronized Kernels kernels() {
        if (closed) {
            throw new IllegalStateException("the backend is closed");
        }
        CudaKernels made = kernels;
        if (made == null) {
            made = CudaKernels.create(seen, options);
            kernels = made;
        }
        return made;
    }

    @Override
    public Endpoint open(Venue venue, WorldSpec spec) {
        Endpoint below = host.open(venue, spec);
        return new Endpoint() {
            @Override
            public List<String> addresses() {
                return below.addresses();
            }

            @Override
            public int port() {
                return below.port();
            }

            @Override
            public List<UniqueId> uniqueIds() {
                return below.uniqueIds();
            }

            @Override
            public Communicators connect(Roster roster, ParallelState state) {
                return new StagedCommunicators(below.connect(roster, state));
            }

            @Override
            public void close() {
                below.close();
            }
        };
    }

    @Override
    public void close() {
        try (host) {
            end();
        }
    }

    private synchronized void end() {
        closed = true;
        CudaKernels made = kernels;
        kernels = null;
        if (made != null) {
            made.close();
        }
    }

    @Override
    public String toString() {
        return "cuda on " + seen;
    }
}
