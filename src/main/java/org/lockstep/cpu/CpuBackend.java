package org.lockstep.cpu;

import java.net.InetAddress;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Backend;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.Venue;
import org.lockstep.simd.Arithmetic;
import org.lockstep.tensor.Kernels;
import org.lockstep.transport.Listen;
import org.lockstep.transport.Rhythm;

/**
 * The pure-Java device: host memory, kernels over heap arrays, communicators over threads and TCP. One to a rank.
 *
 * <p>Ranks that share cores learn their part of them in {@link Endpoint#connect}: before that such a backend has no kernels.
 */
public final class CpuBackend implements Backend {
    private final Cores cores;
    private final Listen where;
    private final Rhythm rhythm;
    private final List<CpuEndpoint> open = new CopyOnWriteArrayList<>(); // closed by others too
    private @Nullable CpuKernels kernels; // guarded by this
    private boolean closed; // guarded by this

    private CpuBackend(Cores cores, Listen where, Rhythm rhythm) {
        this.cores = cores;
        this.where = where;
        this.rhythm = rhythm;
        if (!cores.shared()) {
            kernels = CpuKernels.create(cores.count());
        }
    }

    /** Whether kernels of this process compute with vectors; else they are plain Java of the same bits, and slower. */
    public static boolean hasVectors() {
        return Arithmetic.isVectorEnabled();
    }

    /** A backend whose peers are on this host: it listens on the loopback address. */
    public static CpuBackend create() {
        return create(Listen.loopback());
    }

    /** The same, on these cores. */
    public static CpuBackend create(Cores cores) {
        return create(Listen.loopback(), Rhythm.DEFAULT, cores);
    }

    /** A backend that peers of other hosts reach at {@code address}, one of this host's and never the wildcard. */
    public static CpuBackend create(InetAddress address) {
        return create(Listen.on(address));
    }

    /** The same, on one core of its own. */
    public static CpuBackend create(InetAddress known, String interfaces, int portMin, int portMax) {
        return create(known, interfaces, portMin, portMax, Cores.exactly(1));
    }

    /**
     * A backend that peers of other hosts reach at addresses of some interfaces of this host.
     *
     * @param known the address that others know this host by
     * @param interfaces {@code auto} for that address alone, {@code all} for the others of this host too, or names of
     *     interfaces, best first, separated by commas
     * @param portMin the lowest port that may be taken, 0 for any
     * @param portMax the highest
     * @param cores to compute on
     */
    public static CpuBackend create(InetAddress known, String interfaces, int portMin, int portMax, Cores cores) {
        return create(Listen.of(known, interfaces).withPorts(portMin, portMax), Rhythm.DEFAULT, cores);
    }

    /** A backend that peers reach there. */
    public static CpuBackend create(Listen where) {
        return create(where, Rhythm.DEFAULT);
    }

    /** A backend that peers reach there, and that watches the JVMs of its peers at this rhythm. */
    public static CpuBackend create(Listen where, Rhythm rhythm) {
        return create(where, rhythm, Cores.exactly(1));
    }

    /** The same, on these cores. */
    public static CpuBackend create(Listen where, Rhythm rhythm, Cores cores) {
        return new CpuBackend(cores, where, rhythm);
    }

    @Override
    public String name() {
        return "cpu";
    }

    /** @throws IllegalStateException before the meeting, if the cores are shared, and after {@link #close} */
    @Override
    public synchronized Kernels kernels() {
        CpuKernels made = kernels;
        if (made == null) {
            throw new IllegalStateException(
                    closed ? "the backend is closed" : "ranks that share cores have kernels after the meeting only");
        }
        return made;
    }

    /** The meeting is over: so many ranks are in this JVM. */
    private synchronized void divide(int ranks) {
        if (closed) {
            throw new IllegalStateException("the backend was closed during the meeting");
        }
        CpuKernels made = kernels == null ? CpuKernels.create(cores.of(ranks)) : kernels;
        made.shareCores(ranks);
        kernels = made;
    }

    @Override
    public Endpoint open(Venue venue, WorldSpec spec) {
        CpuEndpoint endpoint = CpuEndpoint.open(venue, spec, where, rhythm, this::divide);
        open.add(endpoint);
        return endpoint;
    }

    @Override
    public void close() {
        try {
            open.forEach(CpuEndpoint::closeAll);
        } finally {
            open.clear();
            closeKernels();
        }
    }

    private void closeKernels() {
        CpuKernels made;
        synchronized (this) {
            closed = true;
            made = kernels;
            kernels = null;
        }
        if (made != null) {
            made.close();
        }
    }
}
