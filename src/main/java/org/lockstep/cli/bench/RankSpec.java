package org.lockstep.cli.bench;

import java.time.Duration;
import java.util.Set;
import java.util.UUID;
import org.lockstep.collective.Key;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.WorldSpec;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/**
 * The ranks that are measured. Immutable.
 *
 * @param backend of each
 * @param ranks of the one group, at least as many as the backend needs
 * @param transports that they may use, besides TCP
 * @param limit for meeting, and for all measurements together
 */
public record RankSpec(BenchBackend backend, int ranks, Set<TransportKind> transports, Duration limit) {
    public RankSpec {
        if (ranks < backend.fewestRanks()) {
            throw new IllegalArgumentException("ranks (" + ranks + ") must be at least " + backend.fewestRanks()
                    + " for backend " + backend.word());
        }
        transports = Set.copyOf(transports);
    }

    /** A fresh attempt at a world of these ranks. */
    WorldSpec world() {
        return world(UUID.randomUUID(), Key.random());
    }

    /** The attempt of this name. */
    WorldSpec world(UUID attempt, Key key) {
        return WorldSpec.of(ParallelSizes.tensor(ranks))
                .withAttempt(attempt, key)
                .withKinds(Set.of(GroupKind.WORLD))
                .withMeetingTimeout(limit)
                .withOperationTimeout(limit)
                .withTransports(transports);
    }
}
