package org.lockstep.transport;

import java.nio.channels.SocketChannel;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The proven connections of one rank, until its groups take them. Thread-safe. */
final class Links {
    private final Map<Id, Proven> all = new HashMap<>();
    private boolean closed;

    /**
     * One connection.
     *
     * @param group by {@link Verdict#groupId}
     * @param peer rank in the world
     */
    record Id(long group, int peer) {}

    /** A connection both of whose ends have proven themselves. */
    record Proven(SocketChannel channel, Seal seal) {}

    synchronized void put(Id id, Proven connection) {
        all.put(id, connection);
    }

    synchronized boolean has(Id id) {
        return all.containsKey(id);
    }

    synchronized int count() {
        return all.size();
    }

    /** The connection, which is the caller's from now on; null after {@link #close}. */
    synchronized @Nullable Proven take(Id id) {
        Proven connection = all.remove(id);
        if (connection == null && !closed) {
            throw new IllegalStateException("no connection to rank " + id.peer());
        }
        return connection;
    }

    /** Says goodbye over what nobody took, or why. Idempotent. */
    synchronized void close(@Nullable Verdict verdict) {
        closed = true;
        all.values().forEach(connection -> {
            new Outlet(connection.channel(), connection.seal(), Verdict.MAX_TEXT).lastWords(verdict);
            Sockets.closeGently(connection.channel());
        });
        all.clear();
    }
}
