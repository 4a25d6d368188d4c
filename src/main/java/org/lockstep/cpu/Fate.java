package org.lockstep.cpu;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * What the communicators of one rank share: they live and die together. Thread-safe.
 *
 * <p>The first verdict stays; it is spread at once to the peers of all the rank's groups, who spread it to theirs, so
 * that a failure anywhere frees everybody who, directly or not, waits for it.
 */
final class Fate {
    private final AtomicReference<@Nullable Verdict> verdict = new AtomicReference<>();
    private final List<CpuCommunicator> siblings = new CopyOnWriteArrayList<>();

    void add(CpuCommunicator communicator) {
        siblings.add(communicator);
        if (verdict.get() != null) {
            communicator.spread();
        }
    }

    @Nullable
    Verdict verdict() {
        return verdict.get();
    }

    /** Seals the fate, unless it was; the verdict that holds. */
    Verdict seal(Verdict candidate) {
        if (verdict.compareAndSet(null, candidate)) {
            siblings.forEach(CpuCommunicator::spread);
            return candidate;
        }
        Verdict first = verdict.get();
        return first == null ? candidate : first;
    }
}
