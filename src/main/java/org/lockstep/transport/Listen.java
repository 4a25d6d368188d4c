package org.lockstep.transport;

import java.net.InetAddress;
import java.net.NetworkInterface;
import java.net.SocketException;
import java.util.ArrayList;
import java.util.List;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.CommunicatorException;

/**
 * Where a rank listens for its peers. Immutable.
 *
 * @param addresses of this host, best first; neither the wildcard nor link-local ones, which mean nothing to another host
 * @param portMin the lowest port that may be taken, 0 for whatever the system gives
 * @param portMax the highest
 */
public record Listen(List<InetAddress> addresses, int portMin, int portMax) {
    /** As many as a record has room for. */
    private static final int MOST = 4;

    public Listen {
        addresses = List.copyOf(addresses);
        for (InetAddress address : addresses) {
            if (address.isAnyLocalAddress() || address.isLinkLocalAddress()) {
                throw new IllegalArgumentException("peers cannot be told to come to " + address.getHostAddress());
            }
        }
        if (addresses.isEmpty()
                || portMin < 0
                || portMin > portMax
                || portMax > 65535
                || (portMin == 0 && portMax > 0)) {
            throw new IllegalArgumentException("addresses (" + addresses.size() + ") and ports (" + portMin + ".."
                    + portMax + ") leave nowhere to listen");
        }
    }

    /** Here, at any port. */
    public static Listen on(InetAddress... addresses) {
        return new Listen(List.of(addresses), 0, 0);
    }

    /** For peers that are all on this host. */
    public static Listen loopback() {
        return on(InetAddress.getLoopbackAddress());
    }

    /**
     * At this host's address that others know it by, then at what other addresses its interfaces have: some of them may lead
     * nowhere, which is for the peers to find out.
     */
    public static Listen ofHost(InetAddress known) {
        List<InetAddress> found = new ArrayList<>(List.of(known));
        if (!known.isLoopbackAddress()) {
            try {
                NetworkInterface.networkInterfaces().filter(Listen::isUp).forEach(each -> collect(each, found));
            } catch (SocketException unknown) {
                // the one that is known will do
            }
        }
        return new Listen(found.subList(0, Math.min(MOST, found.size())), 0, 0);
    }

    /**
     * At the addresses of one of this host's interfaces, such as {@code eth0}.
     *
     * @throws CommunicatorException RENDEZVOUS_FAILED if there is none of that name with an address
     */
    public static Listen ofInterface(String name) {
        List<InetAddress> found = new ArrayList<>();
        try {
            NetworkInterface named = NetworkInterface.getByName(name);
            if (named != null) {
                collect(named, found);
                if (named.isLoopback()) {
                    named.inetAddresses().forEach(found::add);
                }
            }
        } catch (SocketException unknown) {
            // as if there were none
        }
        if (found.isEmpty()) {
            throw new CommunicatorException(LockstepException.report(
                            ErrorCode.RENDEZVOUS_FAILED, "this host has no interface '" + name + "' with an address")
                    .attempt("spark.lockstep.network.interface with the name of one that all hosts have"));
        }
        return new Listen(found.subList(0, Math.min(MOST, found.size())), 0, 0);
    }

    private static boolean isUp(NetworkInterface each) {
        try {
            return each.isUp() && !each.isPointToPoint();
        } catch (SocketException unknown) {
            return false;
        }
    }

    private static void collect(NetworkInterface from, List<InetAddress> into) {
        from.inetAddresses()
                .filter(address -> !address.isLoopbackAddress()
                        && !address.isLinkLocalAddress()
                        && !address.isMulticastAddress()
                        && !into.contains(address))
                .forEach(into::add);
    }

    /** Here, at a port of {@code min} to {@code max}. */
    public Listen withPorts(int min, int max) {
        return new Listen(addresses, min, max);
    }

    /** As IP literals, without the scope that an address may have here only. */
    List<String> literals() {
        return addresses.stream()
                .map(address -> address.getHostAddress().replaceFirst("%.*", ""))
                .toList();
    }
}
