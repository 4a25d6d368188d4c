package org.lockstep.collective;

import java.io.Serializable;
import java.time.Duration;
import java.util.Map;
import org.lockstep.topology.GroupKind;

/**
 * What holds for every operation of a group. Immutable.
 *
 * @param timeout of an operation, but for {@code bytes}; positive
 * @param ofKinds timeouts of groups of some kinds, where they differ
 * @param minimumRate bytes per second that an operation may go on at however long it takes: its own bytes divided by this come on
 *     top of {@code timeout}, those of objects, and of unequal blocks that ranks pass on for others, as soon as they are known;
 *     positive
 * @param finite whether what a rank gives to an operation is looked through for NaN and infinities first
 */
public record OperationTerms(Duration timeout, Map<GroupKind, Duration> ofKinds, long minimumRate, boolean finite)
        implements Serializable {
    /** Ten minutes, and what bytes take at 10 MiB/s; nothing is looked through. */
    public static final OperationTerms DEFAULT = new OperationTerms(Duration.ofMinutes(10), Map.of(), 10 << 20, false);

    /** What to try where one that went on was over its time. */
    public static final String IF_SLOW =
            "raise spark.lockstep.collective.timeout if the operation is legitimately slow; a tensor"
                    + " or pipeline group may have a key of its own, and within(…) says it itself";

    public OperationTerms {
        timeout = Arguments.deadline(timeout);
        ofKinds = Map.copyOf(ofKinds);
        ofKinds.values().forEach(Arguments::deadline);
        if (minimumRate < 1) {
            throw new IllegalArgumentException("minimum rate (" + minimumRate + " B/s) must be positive");
        }
    }

    /** How long an operation that moves so many bytes may take. */
    Duration allowed(long bytes) {
        Duration more = more(bytes);
        return more.isZero() ? timeout : Arguments.deadline(timeout.plus(more));
    }

    /** What so many bytes may take of it. */
    Duration more(long bytes) {
        double seconds = (double) bytes / minimumRate; // to be felt, not to be exact
        return seconds < 1e-3 ? Duration.ZERO : Arguments.deadline(Duration.ofMillis((long) (seconds * 1e3)));
    }

    /** These terms with exactly this deadline, whatever an operation moves. */
    OperationTerms exactly(Duration deadline) {
        return new OperationTerms(deadline, Map.of(), Long.MAX_VALUE, finite);
    }

    /** Those of groups of a kind. */
    OperationTerms of(GroupKind kind) {
        return withTimeout(ofKinds.getOrDefault(kind, timeout));
    }

    /** These terms with another timeout. */
    public OperationTerms withTimeout(Duration limit) {
        return new OperationTerms(limit, ofKinds, minimumRate, finite);
    }

    /** These terms with other timeouts of groups of some kinds. */
    public OperationTerms withTimeouts(Map<GroupKind, Duration> limits) {
        return new OperationTerms(timeout, limits, minimumRate, finite);
    }

    /** These terms with another rate, in bytes per second. */
    public OperationTerms withMinimumRate(long rate) {
        return new OperationTerms(timeout, ofKinds, rate, finite);
    }

    /** These terms, looking for NaN and infinities or not. */
    public OperationTerms withFinite(boolean on) {
        return new OperationTerms(timeout, ofKinds, minimumRate, on);
    }
}
