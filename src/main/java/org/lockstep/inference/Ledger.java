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
 * <p>Requests are numbers from 0 on. A lease is a run of them, smaller by and by (guided self-scheduling, Polychronopoulos
 * and Kuck 1987, with half a share): towards the end nobody sits on requests that another could do, so all end at about the
 * same time whatever their speeds. What a replica gives back goes out again first. A pure machine of numbers; mutable, not
 * thread-safe.
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
     * Leases the next requests to {@code replica}: at most {@code most}, at most a half of its share in what waits, and at
     * least one; none if none waits.
     *
     * @throws IllegalArgumentException if there is no such replica, or none any more, or {@code most} is not positive
     */
    Optional<Span> lease(int replica, int most) {
        requirePresent(replica);
        if (most < 1) {
            throw new IllegalArgumentException("a lease of " + most + " requests");
        }
        if (waiting == 0) {
            return Optional.empty();
        }
        long share = present == 1 ? waiting : Math.max(1, waiting / (2L * present));
        Span span = take((int) Math.min(most, share));
        for (long number = span.from; number < span.from + span.count; number++) {
            leased.get(replica).add(number);
        }
        waiting -= span.count;
        return Optional.of(span);
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
