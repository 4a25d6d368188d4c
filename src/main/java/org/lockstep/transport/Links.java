package org.lockstep.transport;

import java.nio.channels.SocketChannel;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.CommunicatorException;

/** The proven connections of one rank, until its groups take them, and those that they wait for. Thread-safe. */
final class Links {
    private final Map<Id, Proven> all = new HashMap<>();
    private final Set<Id> made = new HashSet<>(); // also those that were taken
    private final Queue<Id> wanted = new ArrayDeque<>();
    private final Map<Id, Runnable> waiting = new HashMap<>();
    private final Map<Id, CommunicatorException> failures = new HashMap<>();
    private @Nullable Verdict verdict; // at the end
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

    /** A connection was made; the end of it where nobody waits any more. */
    synchronized void put(Id id, Proven connection) {
        made.add(id);
        all.put(id, connection);
        if (closed) {
            end();
        } else {
            wake(id);
        }
    }

    /** A connection that is waited for will not come. */
    synchronized void fail(Id id, CommunicatorException why) {
        failures.put(id, why);
        wake(id);
    }

    private void wake(Id id) {
        Runnable waiter = waiting.remove(id);
        if (waiter != null) {
            waiter.run();
        }
    }

    /** Whether the connection was made, once. */
    synchronized boolean has(Id id) {
        return made.contains(id);
    }

    synchronized int count() {
        return all.size();
    }

    /** The connection, which is the caller's from now on; null if it is not here. */
    synchronized @Nullable Proven take(Id id) {
        return all.remove(id);
    }

    /**
     * A connection that is not here is to be made.
     *
     * @param waiter woken when it was made, or will not be
     * @return whether that is news
     */
    synchronized boolean want(Id id, Runnable waiter) {
        if (made.contains(id) || failures.containsKey(id)) {
            waiter.run();
            return false;
        }
        boolean news = waiting.put(id, waiter) == null;
        if (news) {
            wanted.add(id);
        }
        return news;
    }

    /** The next one to be made; null if there is none. */
    synchronized @Nullable Id nextWanted() {
        return wanted.poll();
    }

    /** Why a connection will not come; null while it may. */
    synchronized @Nullable CommunicatorException failure(Id id) {
        return failures.get(id);
    }

    synchronized boolean isOpen() {
        return !closed;
    }

    /** Says goodbye over what nobody took, or why; also over what comes after. Idempotent. */
    synchronized void close(@Nullable Verdict word) {
        if (!closed) {
            closed = true;
            verdict = word;
            end();
        }
    }

    private void end() {
        all.values().forEach(connection -> {
            new Outlet(connection.channel(), connection.seal(), Verdict.MAX_TEXT).lastWords(verdict);
            Sockets.closeGently(connection.channel());
        });
        all.clear();
    }
}
