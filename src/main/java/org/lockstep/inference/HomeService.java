package org.lockstep.inference;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.ControlPlane;
import org.lockstep.collective.ObjectCodec;

/**
 * The requests that one rank holds, which replicas fetch, and their completions, which replicas bring back, in the order of
 * the requests. One whose completion has come is held no more: of a million rows the prompts are most of the memory.
 * Thread-safe.
 */
final class HomeService implements ControlPlane.Service {
    private final ObjectCodec codec = Leases.codec();
    private final @Nullable Request[] requests; // null where the completion has come
    private final @Nullable Completion[] done;

    HomeService(Iterator<Request> requests) {
        List<Request> all = new ArrayList<>();
        requests.forEachRemaining(all::add);
        this.requests = all.toArray(new @Nullable Request[0]);
        this.done = new @Nullable Completion[all.size()];
    }

    int size() {
        return done.length;
    }

    @Override
    public CompletionStage<byte[]> answer(int from, byte[] question) {
        Object word = codec.decode(question, Object.class);
        if (word instanceof Leases.Fetch fetch) {
            return CompletableFuture.completedFuture(codec.encode(pick(fetch)));
        }
        if (word instanceof Leases.Delivery delivery && delivery.places().length == delivery.completions().length) {
            for (int i = 0; i < delivery.places().length; i++) {
                accept(delivery.places()[i], delivery.completions()[i]);
            }
            return CompletableFuture.completedFuture(new byte[0]);
        }
        throw new IllegalArgumentException("the home of requests is told " + word);
    }

    private synchronized Request[] pick(Leases.Fetch fetch) {
        if (fetch.count() < 1 || fetch.from() < 0 || fetch.from() > done.length - fetch.count()) {
            throw new IllegalArgumentException(fetch + " of a rank that holds " + done.length + " requests");
        }
        List<Request> asked = new ArrayList<>();
        for (int place = fetch.from(); place < fetch.from() + fetch.count(); place++) {
            Request request = requests[place];
            if (request == null) {
                throw new IllegalArgumentException(fetch + ", of which the one at " + place + " is complete");
            }
            asked.add(request);
        }
        return asked.subList(0, Leases.parcel(asked, Leases::weight)).toArray(Request[]::new);
    }

    private synchronized void accept(int place, Completion completion) {
        boolean known = place >= 0 && place < done.length;
        Completion before = known ? done[place] : null;
        if (before != null && before.id() == completion.id()) {
            throw new IllegalArgumentException(completion + " comes twice");
        }
        Request request = known ? requests[place] : null;
        if (request == null || request.id() != completion.id()) {
            throw new IllegalArgumentException(completion + " is of no request at place " + place);
        }
        done[place] = completion;
        requests[place] = null;
    }

    /**
     * All completions, in the order of the requests.
     *
     * @throws LockstepException INTERNAL if some are missing, for all replicas have left
     */
    synchronized List<Completion> completions() {
        List<Completion> all = new ArrayList<>(done.length);
        for (Completion each : done) {
            if (each == null) {
                long missing = Arrays.stream(done).filter(one -> one == null).count();
                throw LockstepException.report(
                                ErrorCode.INTERNAL,
                                missing + " of " + done.length + " requests of this rank were left undone by all"
                                        + " replicas, the first of them " + requests[all.size()])
                        .exception();
            }
            all.add(each);
        }
        return all;
    }
}
