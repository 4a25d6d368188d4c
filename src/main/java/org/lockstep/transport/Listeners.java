package org.lockstep.transport;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.UnsupportedAddressTypeException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.CommunicatorException;

/** The listening sockets of one rank, all at one port. Thread-safe. */
final class Listeners implements AutoCloseable {
    private static final int BACKLOG = 1024;
    private static final int TRIES = 32; // to find a port that is free at every address

    private final List<ServerSocketChannel> channels;
    private final int port;

    private Listeners(List<ServerSocketChannel> channels) {
        this.channels = List.copyOf(channels);
        this.port = channels.get(0).socket().getLocalPort();
    }

    /**
     * Binds; whoever binds chooses the port, so that nobody can take it before it is told.
     *
     * @throws CommunicatorException RENDEZVOUS_FAILED naming addresses and ports
     */
    static Listeners bind(Listen where) {
        IOException last = null;
        int tries = where.portMin() == 0 ? TRIES : where.portMax() - where.portMin() + 1;
        // Ranks of a host begin at different ports, or each would knock at all those that the others took.
        int first = (int) Math.floorMod(ProcessHandle.current().pid() * 31 + System.nanoTime() / 1000, (long) tries);
        for (int i = 0; i < tries; i++) {
            int port = where.portMin() == 0 ? 0 : where.portMin() + (first + i) % tries;
            try {
                return new Listeners(bind(where.addresses(), port));
            } catch (IOException busy) {
                last = busy;
            } catch (UnsupportedAddressTypeException none) { // another port would not help
                throw failure(where, none);
            }
        }
        throw failure(where, last);
    }

    private static CommunicatorException failure(Listen where, @Nullable Exception cause) {
        String ports = where.portMin() == 0 ? "any port" : "ports " + where.portMin() + ".." + where.portMax();
        LockstepException.Report report = LockstepException.report(
                ErrorCode.RENDEZVOUS_FAILED,
                "cannot listen on " + String.join(", ", where.literals()) + " at " + ports + ", the last try: "
                        + (cause == null ? "none" : Sockets.reason(cause)));
        report = where.portMin() == 0 || cause instanceof UnsupportedAddressTypeException
                ? report.attempt("an address of this host that its peers can reach")
                : report.attempt(
                        "a wider range of spark.lockstep.network.port.min and .max: each rank of a host needs a port");
        return new CommunicatorException(report.cause(cause));
    }

    private static List<ServerSocketChannel> bind(List<InetAddress> addresses, int wanted) throws IOException {
        List<ServerSocketChannel> open = new ArrayList<>();
        int port = wanted;
        try {
            for (InetAddress address : addresses) {
                ServerSocketChannel channel = ServerSocketChannel.open();
                open.add(channel);
                channel.configureBlocking(false);
                channel.bind(new InetSocketAddress(address, port), BACKLOG);
                port = channel.socket().getLocalPort();
            }
            return open;
        } catch (IOException | UnsupportedAddressTypeException failure) {
            open.forEach(Sockets::closeQuietly);
            throw failure;
        }
    }

    List<ServerSocketChannel> channels() {
        return channels;
    }

    int port() {
        return port;
    }

    boolean isOpen() {
        return channels.get(0).isOpen();
    }

    @Override
    public void close() {
        channels.forEach(Sockets::closeQuietly);
    }
}
