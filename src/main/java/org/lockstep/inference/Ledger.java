package org.lockstep.inference;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.NavigableSet;
import java.util.Optional;
import java.util.TreeSet;

/**
 * Which requests of a run wait, which are leased to which replica, which are complete.
 *
 * <p>Requests are numbers from 0 on. A lease is a run of them. A replica never has more open ones, leased and not complete,
 * than its even share of all that are not complete, and gets none to keep in stock once fewer wait than are open: so
 * towards the end nobody sits on requests that another could begin, whoever asks first or oftenest, and before it all have
 * what they ask for. A slow one completes fewer and so is leased fewer. What a replica gives back goes out again first. A
 * pure machine of numbers; mutable, not thread-safe.
 */
final class Ledger {
    private final long total;
    private final List<NavigableSet<Long>> leased = new ArrayList<>(); // by replica
    private final boolean[] left;
    private final Deque<Span> returned = new ArrayDeque<>();
    private long fresh; // the first number that was never leased
    private long waiting;
    private long complete;
    private int present;

    /**
     * Numbers in a row.
     *
     * @param from the first
     * @param count at least 1
     */
    record Span(long from, int count) {}

    /** Of requests 0 to {@code total} - 1, for so many replicas. */
    Ledger(long total, int replicas) {
        this.total = total;
        this.waiting = total;
        this.present = replicas;
        this.left = new boolean[replicas];
        for (int replica = 0; replica < replicas; replica++) {
            leased.add(new TreeSet<>());
        }
    }

    /**
     * Leases the next requests to {@code replica}; none if none waits, or it has its share.
     *
     * @param room how many it could begin now; not negative
     * @param ahead how many more it would have in stock; not negative, and with the room at least 1
     * @throws IllegalArgumentException if there is no such replica, or none any more, or it asks for nothing
     */
    Optional<Span> lease(int replica, int room, int ahead) {
        requirePresent(replica);
        if (room < 0 || ahead < 0 || room + ahead < 1) {
            throw new IllegalArgumentException("a lease of " + room + " requests and " + ahead + " ahead");
        }
        NavigableSet<Long> open = leased.get(replica);
        long most = Math.min(waiting, share() - open.size());
        int count = (int) Math.min(most, leavesEnough(room + ahead) ? room + ahead : room);
        if (count < 1) {
            return Optional.empty();
        }
        Span span = take(count);
        for (long number = span.from; number < span.from + span.count; number++) {
            open.add(number);
        }
        waiting -= span.count;
        return Optional.of(span);
    }

    /** Of what is not complete, a present replica's even part, rounded up. */
    private long share() {
        return (total - complete + present - 1) / present;
    }

    /** Whether after a lease of so many at least as many wait as are open: what one has in stock then, no other lacks. */
    private boolean leavesEnough(int count) {
        long open = total - complete - waiting;
        return present == 1 || waiting - count >= open + count;
    }

    private Span take(int most) {
        Span first = returned.poll();
        if (first == null) {
            Span span = new Span(fresh, (int) Math.min(most, total - fresh));
            fresh += span.count;
            return span;
        }
        if (first.count <= most) {
            return first;
        }
        returned.addFirst(new Span(first.from + most, first.count - most));
        return new Span(first.from, most);
    }

    /**
     * Requests of {@code replica} are complete.
     *
     * @throws IllegalArgumentException at the first that is not leased to it
     */
    void complete(int replica, long... numbers) {
        requirePresent(replica);
        for (long number : numbers) {
            if (!leased.get(replica).remove(number)) {
                throw new IllegalArgumentException("request " + number + " is not leased to replica " + replica);
            }
            complete++;
        }
    }

    /** {@code replica} leaves: what is leased to it and not complete waits again. */
    void revoke(int replica) {
        requirePresent(replica);
        NavigableSet<Long> numbers = leased.get(replica);
        waiting += numbers.size();
        Span last = null;
        for (long number : numbers) {
            if (last != null && number == last.from + last.count) {
                last = new Span(last.from, last.count + 1);
            } else {
                if (last != null) {
                    returned.add(last);
                }
                last = new Span(number, 1);
            }
        }
        if (last != null) {
            returned.add(last);
        }
        numbers.clear();
        left[replica] = true;
        present--;
    }

    /** Whether {@link #revoke} has not been called of it. */
    boolean isPresent(int replica) {
        return !left[replica];
    }

    /** Whether all requests are complete: none can wait again. */
    boolean isDrained() {
        return complete == total;
    }

    private void requirePresent(int replica) {
        if (replica < 0 || replica >= left.length || left[replica]) {
            throw new IllegalArgumentException("replica " + replica + " is none of those that take part");
        }
    }
}
