package org.lockstep.transport;

import java.nio.channels.SocketChannel;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The authenticated connections of one rank, until its transports take them. Confined to one thread. */
final class Links {
    private final Map<Id, SocketChannel> channels = new HashMap<>();

    /**
     * One connection.
     *
     * @param group by {@link Verdict#groupId}
     * @param peer rank in the world
     */
    record Id(long group, int peer) {}

    void put(Id id, SocketChannel channel) {
        channels.put(id, channel);
    }

    boolean has(Id id) {
        return channels.containsKey(id);
    }

    int count() {
        return channels.size();
    }

    /** The connection, which is the caller's from now on. */
    SocketChannel take(Id id) {
        @Nullable SocketChannel channel = channels.remove(id);
        if (channel == null) {
            throw new IllegalStateException("no connection to rank " + id.peer());
        }
        return channel;
    }

    /** Closes what nobody took. */
    void close() {
        channels.values().forEach(Sockets::closeQuietly);
        channels.clear();
    }
}
