package org.lockstep.cpu;

import java.net.InetAddress;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.lockstep.collective.Backend;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.Venue;
import org.lockstep.tensor.Kernels;

/**
 * The pure-Java device: host memory, kernels over heap arrays, communicators over threads and TCP. One to a rank.
 */
public final class CpuBackend implements Backend {
    private final Kernels kernels;
    private final InetAddress address;
    private final List<CpuEndpoint> open = new CopyOnWriteArrayList<>(); // closed by others too

    CpuBackend(Kernels kernels, InetAddress address) {
        this.kernels = kernels;
        this.address = address;
    }

    /** A backend whose peers are on this host: it listens on the loopback address. */
    public static CpuBackend create() {
        return create(InetAddress.getLoopbackAddress());
    }

    /** A backend that peers of other hosts reach at {@code address}, one of this host's and never the wildcard. */
    public static CpuBackend create(InetAddress address) {
        if (address.isAnyLocalAddress()) {
            throw new IllegalArgumentException("peers cannot be told to come to the wildcard address " + address);
        }
        return new CpuBackend(CpuKernels.create(), address);
    }

    @Override
    public String name() {
        return "cpu";
    }

    @Override
    public Kernels kernels() {
        return kernels;
    }

    @Override
    public Endpoint open(Venue venue, WorldSpec spec) {
        CpuEndpoint endpoint = CpuEndpoint.open(venue, spec, address);
        open.add(endpoint);
        return endpoint;
    }

    @Override
    public void close() {
        open.forEach(CpuEndpoint::closeAll);
        open.clear();
        kernels.close();
    }
}
