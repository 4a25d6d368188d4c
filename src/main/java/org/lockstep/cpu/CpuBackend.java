package org.lockstep.cpu;

import java.net.InetAddress;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.lockstep.collective.Backend;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.Venue;
import org.lockstep.tensor.Kernels;
import org.lockstep.transport.Listen;
import org.lockstep.transport.Rhythm;

/**
 * The pure-Java device: host memory, kernels over heap arrays, communicators over threads and TCP. One to a rank.
 */
public final class CpuBackend implements Backend {
    private final Kernels kernels;
    private final Listen where;
    private final Rhythm rhythm;
    private final List<CpuEndpoint> open = new CopyOnWriteArrayList<>(); // closed by others too

    private CpuBackend(Kernels kernels, Listen where, Rhythm rhythm) {
        this.kernels = kernels;
        this.where = where;
        this.rhythm = rhythm;
    }

    /** A backend whose peers are on this host: it listens on the loopback address. */
    public static CpuBackend create() {
        return create(Listen.loopback());
    }

    /** A backend that peers of other hosts reach at {@code address}, one of this host's and never the wildcard. */
    public static CpuBackend create(InetAddress address) {
        return create(Listen.on(address));
    }

    /**
     * A backend that peers of other hosts reach at addresses of some interfaces of this host.
     *
     * @param known the address that others know this host by
     * @param interfaces {@code auto} for that address alone, {@code all} for the others of this host too, or names of
     *     interfaces, best first, separated by commas
     * @param portMin the lowest port that may be taken, 0 for any
     * @param portMax the highest
     */
    public static CpuBackend create(InetAddress known, String interfaces, int portMin, int portMax) {
        return create(Listen.of(known, interfaces).withPorts(portMin, portMax));
    }

    /** A backend that peers reach there. */
    public static CpuBackend create(Listen where) {
        return create(where, Rhythm.DEFAULT);
    }

    /** A backend that peers reach there, and that watches the JVMs of its peers at this rhythm. */
    public static CpuBackend create(Listen where, Rhythm rhythm) {
        return new CpuBackend(CpuKernels.create(), where, rhythm);
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
        CpuEndpoint endpoint = CpuEndpoint.open(venue, spec, where, rhythm);
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
