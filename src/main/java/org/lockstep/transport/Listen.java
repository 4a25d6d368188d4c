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
    /** As many of four bytes as a record always has room for; of the others it takes what fits. */
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
     * At some of this host's addresses; which of them lead somewhere is for the peers to find out.
     *
     * @param known the address that others know this host by
     * @param interfaces {@code auto} for that address alone, {@code all} for the others too, or names of interfaces such as
     *     {@code eth1,eth0}, best first
     * @throws CommunicatorException RENDEZVOUS_FAILED if there is no interface of a name with an address
     */
    public static Listen of(InetAddress known, String interfaces) {
        List<InetAddress> found = new ArrayList<>();
        if (interfaces.equals("auto") || interfaces.equals("all")) {
            found.add(known);
            if (interfaces.equals("all") && !known.isLoopbackAddress()) {
                addOthers(found);
            }
        } else {
            for (String name : interfaces.split(",", -1)) {
                addNamed(name.strip(), found);
            }
        }
        return new Listen(found.subList(0, Math.min(MOST, found.size())), 0, 0);
    }

    private static void addOthers(List<InetAddress> found) {
        try {
            NetworkInterface.networkInterfaces()
                    .filter(Listen::isUp)
                    .forEach(each -> each.inetAddresses()
                            .filter(address -> !address.isLoopbackAddress())
                            .forEach(address -> add(address, found)));
        } catch (SocketException unknown) {
            // the one that is known will do
        }
    }

    private static void addNamed(String name, List<InetAddress> found) {
        int before = found.size();
        try {
            NetworkInterface named = name.isEmpty() ? null : NetworkInterface.getByName(name);
            if (named != null) {
                named.inetAddresses().forEach(address -> add(address, found));
            }
        } catch (SocketException unknown) {
            // as if there were none
        }
        if (found.size() == before) {
            throw new CommunicatorException(LockstepException.report(
                            ErrorCode.RENDEZVOUS_FAILED, "this host has no interface '" + name + "' with an address")
                    .attempt("spark.lockstep.network.interface=auto, or the names of interfaces that all hosts have"));
        }
    }

    private static void add(InetAddress address, List<InetAddress> found) {
        if (!address.isLinkLocalAddress() && !address.isMulticastAddress() && !found.contains(address)) {
            found.add(address);
        }
    }

    private static boolean isUp(NetworkInterface each) {
        try {
            return each.isUp() && !each.isPointToPoint();
        } catch (SocketException unknown) {
            return false;
        }
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
