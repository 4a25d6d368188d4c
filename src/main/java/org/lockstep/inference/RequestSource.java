package org.lockstep.inference;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;

/**
 * Where a replica's source rank pulls requests from, as it has room for them: a list, or a ledger that several replicas
 * share.
 *
 * <p>Neither method but {@link #await} waits, so that a replica computes while more is on its way. Confined to the source
 * rank's thread.
 */
public interface RequestSource {
    /**
     * Takes the next requests.
     *
     * @param most at least 1
     * @return at most so many; none if none is there at this moment
     */
    List<Request> poll(int most);

    /** Whether no request will come any more; {@link #poll} then returns none. */
    boolean isDrained();

    /**
     * Waits for something to poll or for the end, but no longer than this. Called when the replica has nothing to compute.
     *
     * @throws InterruptedException if the task is to end
     */
    void await(Duration most) throws InterruptedException;

    /** These requests, in this order; confined to one thread. */
    static RequestSource of(List<Request> requests) {
        Iterator<Request> left = List.copyOf(requests).iterator();
        return new RequestSource() {
            @Override
            public List<Request> poll(int most) {
                List<Request> taken = new ArrayList<>();
                while (taken.size() < most && left.hasNext()) {
                    taken.add(left.next());
                }
                return taken;
            }

            @Override
            public boolean isDrained() {
                return !left.hasNext();
            }

            @Override
            public void await(Duration most) {}
        };
    }
}
