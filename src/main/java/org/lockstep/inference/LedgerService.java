package org.lockstep.inference;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import org.lockstep.collective.ControlPlane;
import org.lockstep.collective.ObjectCodec;

/**
 * The ledger of a run, where all replicas reach it. One that asks while all requests are leased, or it has its share of
 * them, hears when some were given back or completed, or all are. Thread-safe.
 */
final class LedgerService implements ControlPlane.Service {
    private final ObjectCodec codec = Leases.codec();
    private final List<Integer> sources; // ranks, by replica
    private final Ledger ledger;
    private final Deque<Asker> askers = new ArrayDeque<>();

    /** A replica that waits for its answer. */
    private record Asker(int replica, Leases.Ask ask, CompletableFuture<byte[]> answer) {}

    /** What an asker is told, once the lock is free. */
    private record Told(Asker asker, Leases.Grant grant) {}

    /** For the replicas of these source ranks. */
    LedgerService(Ledger ledger, List<Integer> sources) {
        this.ledger = ledger;
        this.sources = List.copyOf(sources);
    }

    @Override
    public CompletionStage<byte[]> answer(int from, byte[] question) {
        Object word = codec.decode(question, Object.class);
        int replica = sources.indexOf(from);
        if (replica < 0) {
            throw new IllegalArgumentException("rank " + from + " is no replica's source, and says " + word);
        }
        CompletableFuture<byte[]> answer = CompletableFuture.completedFuture(new byte[0]);
        List<Told> told;
        synchronized (this) {
            if (word instanceof Leases.Ask ask) {
                answer = new CompletableFuture<>();
                askers.add(new Asker(replica, ask, answer));
            } else if (word instanceof Leases.Done done) {
                ledger.complete(replica, done.numbers());
            } else if (word instanceof Leases.Leave) {
                ledger.revoke(replica);
            } else {
                throw new IllegalArgumentException("the ledger is told " + word);
            }
            told = settle();
        }
        told.forEach(each -> each.asker.answer.complete(codec.encode(each.grant)));
        return answer;
    }

    /** Takes the askers that can be told. */
    private List<Told> settle() {
        List<Told> told = new ArrayList<>();
        for (int i = askers.size(); i > 0; i--) {
            Asker asker = askers.remove();
            Leases.Grant grant = grant(asker);
            if (grant.count() > 0 || grant.over() || asker.ask.room() == 0) {
                told.add(new Told(asker, grant));
            } else {
                askers.add(asker);
            }
        }
        return told;
    }

    private Leases.Grant grant(Asker asker) {
        if (ledger.isDrained() || !ledger.isPresent(asker.replica)) {
            return Leases.Grant.OVER;
        }
        return ledger.lease(asker.replica, asker.ask.room(), asker.ask.ahead())
                .map(span -> new Leases.Grant(span.from(), span.count(), false))
                .orElse(Leases.Grant.NOTHING);
    }
}
