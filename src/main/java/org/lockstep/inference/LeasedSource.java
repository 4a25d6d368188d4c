package org.lockstep.inference;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.ControlPlane;
import org.lockstep.collective.ObjectCodec;

/**
 * A replica's requests, leased from the ledger as it has room for them and fetched from their homes, and the way home of
 * their completions.
 *
 * <p>Each way has one call under way. A lease is asked for when the stock is down to half of what is wanted: what the replica
 * could not get last time, and a little more, so that it seldom waits; whether it gets more than it could begin with is the
 * ledger's to say. Completions gather until those before have arrived;
 * then their numbers are told to the ledger. So no other rank holds more in memory for this one than a parcel.
 *
 * <p>{@link #poll}, {@link #await}, {@link #accept} and {@link #finish} are the source rank's; answers come in the thread
 * that brings them. No lock is held while another rank is called.
 */
final class LeasedSource implements RequestSource {
    private static final int AHEAD = 4; // the stock is to be this part of the most that was ever asked for

    private final ControlPlane plane;
    private final int[] homes; // ranks
    private final long[] offsets; // of the first request of each home, and of the end
    private final int ledger;
    private final Duration patience;
    private final ObjectCodec codec = Leases.codec();

    private final Deque<Leased> stock = new ArrayDeque<>();
    private final Map<Long, Long> numbers = new HashMap<>(); // of what was polled and is not complete, by id
    private final List<Finished> outbox = new ArrayList<>();
    private int largest = 1;
    private int room = 1; // of the last poll, what it did not get
    private int ahead; // what the stock is to be
    private boolean asking;
    private long askedAt;
    private boolean delivering;
    private boolean drained;
    private boolean left;
    private @Nullable Throwable failure;

    private record Leased(long number, Request request) {}

    private record Finished(long number, Completion completion) {}

    /**
     * For the requests that the ranks {@code homes} hold, those of home i being the numbers from {@code offsets[i]} to
     * {@code offsets[i + 1]}.
     *
     * @param ledger the rank that has it
     * @param patience for the slowest replica
     */
    LeasedSource(ControlPlane plane, int[] homes, long[] offsets, int ledger, Duration patience) {
        this.plane = plane;
        this.homes = homes.clone();
        this.offsets = offsets.clone();
        this.ledger = ledger;
        this.patience = patience;
    }

    @Override
    public List<Request> poll(int most) {
        List<Request> taken = new ArrayList<>();
        take(most, taken);
        for (int before = -1; taken.size() < most && taken.size() > before; ) {
            before = taken.size();
            ask();
            take(most, taken); // in one JVM it is here already
        }
        ask();
        return taken;
    }

    private synchronized void take(int most, List<Request> to) {
        requireAlive();
        largest = Math.max(largest, most);
        while (to.size() < most && !stock.isEmpty()) {
            Leased next = stock.remove();
            if (numbers.putIfAbsent(next.request.id(), next.number) != null) {
                throw new IllegalArgumentException("request id " + next.request.id() + " comes twice");
            }
            to.add(next.request);
        }
        room = most - to.size();
        ahead = (largest + AHEAD - 1) / AHEAD;
    }

    @Override
    public synchronized boolean isDrained() {
        requireAlive();
        return drained && stock.isEmpty();
    }

    @Override
    public void await(Duration most) throws InterruptedException {
        ask();
        if (!await(most, () -> !stock.isEmpty() || drained)) {
            requireInTime();
        }
    }

    /** Whether it is so within this time. */
    private synchronized boolean await(Duration most, BooleanSupplier until) throws InterruptedException {
        long end = System.nanoTime() + most.toNanos();
        requireAlive();
        while (!until.getAsBoolean()) {
            long left = end - System.nanoTime();
            if (left <= 0) {
                return false;
            }
            wait(left / 1_000_000, (int) (left % 1_000_000));
            requireAlive();
        }
        return true;
    }

    private synchronized void requireInTime() {
        if (asking && System.nanoTime() - askedAt >= patience.toNanos()) {
            throw late("a lease");
        }
    }

    private LockstepException late(String what) {
        return LockstepException.report(
                        ErrorCode.COLLECTIVE_TIMEOUT,
                        "the replica waited for " + what + " for " + patience.toMillis() / 1000.0 + " s")
                .attempt("raise spark.lockstep.run.timeout if other replicas or homes are legitimately slow")
                .exception();
    }

    /** Throws what went wrong with a call. */
    private void requireAlive() {
        Throwable cause = failure;
        if (cause instanceof RuntimeException known) {
            throw known;
        }
        if (cause != null) {
            throw new IllegalStateException("a call over the control plane failed", cause);
        }
    }

    /** Asks for a lease, unless one is asked for or no half of what is wanted is gone. */
    private void ask() {
        Leases.Ask ask;
        synchronized (this) {
            int lacking = room + ahead - stock.size();
            if (asking || drained || failure != null || lacking < 1 || 2 * lacking < room + ahead) {
                return;
            }
            int now = Math.max(0, room - stock.size());
            ask = new Leases.Ask(now, lacking - now);
            asking = true;
            askedAt = System.nanoTime();
        }
        CompletionStage<Void> stocked =
                call(ledger, Leases.LEDGER, ask).thenCompose(answer -> fetch(codec.decode(answer, Leases.Grant.class)));
        stocked.whenComplete((none, failed) -> hear(failed, () -> asking = false));
    }

    /** Fetches what was granted, home by home and parcel by parcel. */
    private CompletableFuture<Void> fetch(Leases.Grant grant) {
        if (grant.count() == 0) {
            synchronized (this) {
                drained |= grant.over();
            }
            return CompletableFuture.completedFuture(null);
        }
        long end = offsets[homes.length];
        if (grant.count() < 1 || grant.from() < 0 || grant.from() > end - grant.count()) {
            throw LockstepException.report(
                            ErrorCode.PROTOCOL, "rank " + ledger + " leased " + grant + " of " + end + " requests")
                    .exception();
        }
        return fetch(grant.from(), grant.from() + grant.count());
    }

    private CompletableFuture<Void> fetch(long from, long to) {
        if (from == to) {
            return CompletableFuture.completedFuture(null);
        }
        int home = home(from);
        int count = (int) (Math.min(to, offsets[home + 1]) - from);
        return call(homes[home], Leases.HOME, new Leases.Fetch((int) (from - offsets[home]), count))
                .thenCompose(answer -> {
                    Request[] requests = codec.decode(answer, Request[].class);
                    if (requests.length < 1 || requests.length > count) {
                        throw LockstepException.report(
                                        ErrorCode.PROTOCOL,
                                        "rank " + homes[home] + " sent " + requests.length + " requests, not 1 to "
                                                + count)
                                .exception();
                    }
                    synchronized (this) {
                        for (int i = 0; i < requests.length; i++) {
                            stock.add(new Leased(from + i, requests[i]));
                        }
                        notifyAll();
                    }
                    return fetch(from + requests.length, to);
                });
    }

    /** Who holds this request. */
    private int home(long number) {
        int low = 0;
        int high = homes.length - 1;
        while (low < high) { // the last home whose requests begin at or before it
            int middle = (low + high + 1) >>> 1;
            if (offsets[middle] <= number) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        return low;
    }

    /**
     * Sends a completion home.
     *
     * @throws IllegalArgumentException if its request was not polled, or is complete already
     */
    void accept(Completion completion) {
        synchronized (this) {
            requireAlive();
            Long number = numbers.remove(completion.id());
            if (number == null) {
                throw new IllegalArgumentException(completion + " is of no request that this replica has");
            }
            outbox.add(new Finished(number, completion));
        }
        deliver();
    }

    /** Delivers what is in the outbox, unless a delivery is under way: then its end goes on with it. */
    private void deliver() {
        for (List<Finished> parcel = begin(); !parcel.isEmpty(); parcel = begin()) {
            CompletableFuture<byte[]> sent = send(parcel);
            CompletionStage<byte[]> arrived = sent;
            if (!sent.isDone()) {
                arrived.whenComplete((none, failed) -> {
                    hear(failed, () -> delivering = false);
                    deliver();
                });
                return;
            }
            arrived.whenComplete((none, failed) -> hear(failed, () -> delivering = false));
        }
    }

    /** Brings completions to the one home of them all, then tells the ledger. */
    private CompletableFuture<byte[]> send(List<Finished> parcel) {
        int home = home(parcel.get(0).number);
        long[] told = parcel.stream().mapToLong(Finished::number).toArray();
        int[] places = parcel.stream()
                .mapToInt(each -> (int) (each.number - offsets[home]))
                .toArray();
        Completion[] completions = parcel.stream().map(Finished::completion).toArray(Completion[]::new);
        return call(homes[home], Leases.HOME, new Leases.Delivery(places, completions))
                .thenCompose(none -> call(ledger, Leases.LEDGER, new Leases.Done(told)));
    }

    /** The next parcel for one home; empty if there is none to deliver now. */
    private synchronized List<Finished> begin() {
        if (delivering || outbox.isEmpty() || failure != null) {
            return List.of();
        }
        delivering = true;
        int home = home(outbox.get(0).number);
        List<Finished> batch = new ArrayList<>();
        long room = Leases.PARCEL;
        for (Iterator<Finished> all = outbox.iterator(); all.hasNext() && room > 0; ) {
            Finished each = all.next();
            if (home(each.number) == home) {
                all.remove();
                batch.add(each);
                room -= Leases.weight(each.completion);
            }
        }
        return batch;
    }

    /** A failure to call is one of the call: whoever waits for its end hears of it. */
    private CompletableFuture<byte[]> call(int rank, int port, Object question) {
        try {
            return plane.call(rank, port, codec.encode(question));
        } catch (RuntimeException failed) {
            return CompletableFuture.failedFuture(failed);
        }
    }

    /** A call ended, in whatever thread. */
    private synchronized void hear(@Nullable Throwable failed, Runnable change) {
        change.run();
        if (failed != null && failure == null) {
            failure = failed instanceof CompletionException && failed.getCause() != null ? failed.getCause() : failed;
        }
        notifyAll();
    }

    /**
     * Brings the last completions home and gives back what was not completed.
     *
     * @throws LockstepException COLLECTIVE_TIMEOUT if that takes longer than the patience
     */
    void finish() throws InterruptedException {
        if (!await(patience, () -> outbox.isEmpty() && !delivering)) {
            throw late("its last completions to arrive");
        }
        CompletionStage<byte[]> leaving = call(ledger, Leases.LEDGER, new Leases.Leave());
        leaving.whenComplete((none, failed) -> hear(failed, () -> left = true));
        if (!await(patience, () -> left && !asking)) {
            throw late("the ledger to let it go");
        }
    }
}
