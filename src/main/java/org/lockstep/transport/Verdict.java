package org.lockstep.transport;

import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.FirstCause;
import org.lockstep.collective.OperationTerms;
import org.lockstep.topology.ProcessGroup;

/**
 * Why a rank's communicators are dead: the first cause, as it travels from rank to rank. Immutable.
 *
 * @param code of the failure where it was found
 * @param rank in the world, that found it
 * @param group in which it was found, by {@link #groupId}; 0 if that concerns them all
 * @param text what happened, in one line
 * @param culprit the rank that caused it, -1 if that is {@code rank} or not known
 * @param cause where it was found by this very JVM
 */
public record Verdict(
        ErrorCode code,
        int rank,
        long group,
        String text,
        int culprit,
        @Nullable Throwable cause) {
    /** The most bytes of {@link #text} that travel. */
    static final int MAX_TEXT = 1024;

    /** What every rank of the failed group reports as its own, for each was in that operation. */
    private static final Set<ErrorCode> SHARED = Set.of(
            ErrorCode.COLLECTIVE_MISMATCH, ErrorCode.COLLECTIVE_TIMEOUT, ErrorCode.PEER_LOST, ErrorCode.PROTOCOL);

    /** The number of a group on the wire and among threads: a hash of its ranks (FNV-1a). */
    public static long groupId(ProcessGroup group) {
        return group.stream()
                .asLongStream()
                .reduce(0xcbf29ce484222325L, (hash, rank) -> (hash ^ rank) * 0x100000001b3L);
    }

    /** A failure that the caller of abort() knows. */
    public static Verdict aborted(int rank, long group, Throwable cause) {
        String text = cause instanceof LockstepException known
                ? known.code().label() + "  " + known.summary()
                        + (known.advice().isEmpty() ? "" : " (try: " + known.advice() + ")")
                : cause.toString();
        return new Verdict(ErrorCode.ABORTED, rank, group, text, -1, cause);
    }

    /** Rank in group {@code me} is in {@code mine} while {@code peer} is in {@code theirs}. */
    public static Verdict mismatch(
            ProcessGroup group, int me, String mine, int peer, String theirs, String difference) {
        return new Verdict(
                ErrorCode.COLLECTIVE_MISMATCH,
                group.rank(me),
                groupId(group),
                mine + " in " + group + ": rank " + group.rank(me) + " calls this, but rank " + group.rank(peer)
                        + " calls " + theirs + (difference.isEmpty() ? "" : " (" + difference + " differ)"),
                group.rank(peer),
                null);
    }

    /** The deadline passed while {@code missing}, ranks in group, were waited for. */
    public static Verdict timeout(ProcessGroup group, int me, String mine, Deadline deadline, List<Integer> missing) {
        String who =
                missing.stream().map(peer -> Integer.toString(group.rank(peer))).collect(Collectors.joining(","));
        return new Verdict(
                ErrorCode.COLLECTIVE_TIMEOUT,
                group.rank(me),
                groupId(group),
                mine + " in " + group + " not complete in " + deadline + ": rank" + (missing.size() == 1 ? " " : "s ")
                        + who + " did not come",
                missing.isEmpty() ? -1 : group.rank(missing.get(0)),
                null);
    }

    /** {@code peer} is gone: {@code how} is what was seen of that. */
    public static Verdict lost(
            ProcessGroup group, int me, String mine, int peer, String how, @Nullable Throwable cause) {
        return new Verdict(
                ErrorCode.PEER_LOST,
                group.rank(me),
                groupId(group),
                mine + " in " + group + ": rank " + group.rank(peer) + " " + how,
                group.rank(peer),
                cause);
    }

    /** {@code peer} said what cannot be. */
    public static Verdict protocol(ProcessGroup group, int me, String mine, int peer, String what) {
        return new Verdict(
                ErrorCode.PROTOCOL,
                group.rank(me),
                groupId(group),
                mine + " in " + group + ": rank " + group.rank(peer) + " sent " + what,
                group.rank(peer),
                null);
    }

    /** What rank in group {@code me} was told by something else than its links. */
    public static Verdict found(ProcessGroup group, int me, Throwable failure) {
        return found(group.rank(me), groupId(group), failure);
    }

    /** The same of a rank in the world. */
    static Verdict found(int rank, long group, Throwable failure) {
        if (!(failure instanceof LockstepException known) || known.code() == ErrorCode.ABORTED) {
            return aborted(rank, group, failure);
        }
        String text = known.summary() + (known.advice().isEmpty() ? "" : " (try: " + known.advice() + ")");
        return new Verdict(known.code(), rank, group, text, -1, failure);
    }

    /** The thread that waited was interrupted. */
    public static Verdict interrupted(ProcessGroup group, int me, String mine) {
        return new Verdict(
                ErrorCode.ABORTED,
                group.rank(me),
                groupId(group),
                "its thread was interrupted in " + mine + " in " + group,
                -1,
                null);
    }

    /** As who knows no transport sees it. */
    public FirstCause firstCause() {
        return new FirstCause(code, rank, culprit >= 0 ? culprit : rank, text);
    }

    /** As the exception of {@code operation} on a rank of {@code here}, which may be another group than the failed one. */
    public CommunicatorException exception(String operation, ProcessGroup here, Peers peers) {
        LockstepException.Report report;
        if (SHARED.contains(code) && group == groupId(here)) {
            report = LockstepException.report(code, text);
        } else if (SHARED.contains(code) && group == 0) {
            report = LockstepException.report(code, operation + " in " + here + ": " + text);
        } else {
            String what = code == ErrorCode.ABORTED ? text : code.label() + " " + text;
            report = LockstepException.report(
                    ErrorCode.ABORTED, operation + " in " + here + " aborted because of rank " + rank + ": " + what);
        }
        report = report.culprit(peers.describe(culprit >= 0 ? culprit : rank));
        if (code == ErrorCode.COLLECTIVE_TIMEOUT) {
            report = report.attempt("see the culprit's log; " + OperationTerms.IF_SLOW);
        } else if (code == ErrorCode.COLLECTIVE_MISMATCH) {
            report = report.attempt("all ranks of a group must call the same operations in the same order");
        }
        return new CommunicatorException(report.cause(cause));
    }
}
