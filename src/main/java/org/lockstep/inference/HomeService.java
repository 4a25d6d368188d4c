package org.lockstep.inference;

import java.util.ArrayList;
import java.util.Arrays;
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
 * the requests. Thread-safe.
 */
final class HomeService implements ControlPlane.Service {
    private final ObjectCodec codec = Leases.codec();
    private final List<Request> requests;
    private final @Nullable Completion[] done;

    HomeService(List<Request> requests) {
        this.requests = List.copyOf(requests);
        this.done = new @Nullable Completion[requests.size()];
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

    private Request[] pick(Leases.Fetch fetch) {
        if (fetch.count() < 1 || fetch.from() < 0 || fetch.from() > requests.size() - fetch.count()) {
            throw new IllegalArgumentException(fetch + " of a rank that holds " + requests.size() + " requests");
        }
        List<Request> asked = requests.subList(fetch.from(), fetch.from() + fetch.count());
        return asked.subList(0, Leases.parcel(asked, Leases::weight)).toArray(Request[]::new);
    }

    private synchronized void accept(int place, Completion completion) {
        if (place < 0 || place >= done.length || requests.get(place).id() != completion.id()) {
            throw new IllegalArgumentException(completion + " is of no request at place " + place);
        }
        if (done[place] != null) {
            throw new IllegalArgumentException(completion + " comes twice");
        }
        done[place] = completion;
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
                                        + " replicas, the first of them " + requests.get(all.size()))
                        .exception();
            }
            all.add(each);
        }
        return all;
    }
}
