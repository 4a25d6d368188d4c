package org.lockstep.transport;

import java.time.Duration;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.IntFunction;
import java.util.function.LongFunction;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag;
import org.lockstep.topology.ProcessGroup;
import org.lockstep.transport.Mesh.Letter;

/**
 * All links of one rank in one group: made when first used, pumped together, waited for with one {@link Pause}. Confined to
 * the thread that its communicator admitted, except {@link #wake}.
 */
final class LinkSet {
    private static final int NOBODY = -1;

    private final ProcessGroup group;
    private final int me;
    private final IntFunction<@Nullable Link> maker;
    private final @Nullable Link[] links;
    private final boolean[] awaited;
    private final Fate fate;
    private final Pause pause;
    private final Consumer<Boolean> end;
    private boolean ended;
    private int connecting = NOBODY;
    private Object what = "";
    private LongFunction<Duration> extension = bytes -> Duration.ZERO;

    /**
     * The links of rank in group {@code me}.
     *
     * @param maker of the link to a rank in group, when it is first used; null while its connection is being made
     * @param end tells those who wait for this rank that it left, if that was in order, and frees what the links have in
     *     common
     */
    LinkSet(
            ProcessGroup group,
            int me,
            IntFunction<@Nullable Link> maker,
            Fate fate,
            Pause pause,
            Consumer<Boolean> end) {
        this.group = group;
        this.me = me;
        this.maker = maker;
        this.links = new @Nullable Link[group.size()];
        this.awaited = new boolean[group.size()];
        this.fate = fate;
        this.pause = pause;
        this.end = end;
    }

    void begin(Object operation, Duration limit, LongFunction<Duration> extension) {
        what = operation;
        if (this.extension != extension) { // a reference costs a fence
            this.extension = extension;
        }
        pause.begin(limit);
    }

    /** So many bytes more than the operation was begun for. */
    void moves(long bytes) {
        pause.extend(extension.apply(bytes));
    }

    /** Who is waited for from here on may wait for others, so many more steps away. */
    void later(int steps) {
        pause.giveGrace(steps);
    }

    /** An operation that waits for nobody any more ended. */
    void rested() {
        pause.end();
    }

    /** Whether a message of this peer is waited for, for what is said when it does not come. */
    void await(int peer, boolean awaits) {
        awaited[peer] = awaits;
    }

    Link link(int peer) {
        Link link = links[peer];
        if (link == null) {
            link = connect(peer);
            links[peer] = link;
        }
        return link;
    }

    /** Waits for the connection where it is only made now, which the peer's thread has no part in; what was begun goes on. */
    private Link connect(int peer) {
        Link link = maker.apply(peer);
        connecting = peer;
        while (link == null) {
            push();
            rest();
            link = maker.apply(peer);
        }
        connecting = NOBODY;
        return link;
    }

    void push() {
        for (Link link : links) {
            if (link != null) {
                link.pushed();
            }
        }
    }

    /** Returns when so many bytes of every message, or all, are on their way. */
    void pushTo(long bytes) {
        for (Link link : links) {
            while (link != null && !link.pushed() && link.pushedBytes() < bytes) {
                push();
                rest();
            }
        }
    }

    /** After a round over the links: waits a little if nothing moved, and looks for what ends the operation. */
    void rest() {
        boolean moved = false;
        for (Link link : links) {
            moved |= link != null && link.moved();
        }
        if (moved) {
            pause.reset();
        } else if (pause.turn()) {
            look();
        }
    }

    private void look() {
        Verdict verdict = fate.verdict();
        if (verdict != null) {
            throw new Failed(verdict);
        }
        if (Thread.currentThread().isInterrupted()) {
            throw new Failed(Verdict.interrupted(group, me, what.toString()));
        }
        for (int peer = 0; peer < links.length; peer++) {
            Link link = links[peer];
            if (link != null && isMissing(peer)) {
                link.check();
            }
        }
        if (pause.isLate()) {
            List<Integer> missing = IntStream.range(0, links.length)
                    .filter(this::isMissing)
                    .boxed()
                    .toList();
            throw new Failed(Verdict.timeout(group, me, what.toString(), pause.limit(), missing));
        }
    }

    private boolean isMissing(int peer) {
        Link link = links[peer];
        return link == null ? peer == connecting : awaited[peer] || !link.isReturned() || !link.pushed();
    }

    /** Returns when no peer looks at this rank's memory any more. */
    void settle() {
        for (int peer = 0; peer < links.length; peer++) {
            Link link = links[peer];
            while (link != null && !link.isReturned()) {
                rest();
            }
        }
        pause.end();
    }

    /** Makes what was sent over {@code link} the caller's again: waits a little for who looks at it, then takes a copy. */
    void reclaim(Link link) {
        while (!link.isReturned() && !(pause.isLong() && link.isReplaced())) {
            rest();
        }
    }

    Failed differs(OperationTag mine, int peer, OperationTag theirs) {
        return mismatch(mine, peer, theirs, mine.difference(theirs));
    }

    Failed refused(OperationTag mine, int peer, String what) {
        return new Failed(Verdict.protocol(group, me, mine.toString(), peer, what));
    }

    /** A transfer meets an operation of the whole group. */
    Failed elsewhere(Letter letter, OperationTag theirs) {
        return mismatch(letter.tag(), letter.peer(), theirs, "operation");
    }

    private Failed mismatch(OperationTag mine, int peer, OperationTag theirs, String difference) {
        return new Failed(Verdict.mismatch(group, me, mine.toString(), peer, theirs.toString(), difference));
    }

    /** Tells the peers that this rank left, and frees everything. Waits for nobody. */
    void close() {
        end(null);
    }

    /** Tells the peers why, as far as that is possible without waiting, and frees everything. Idempotent. */
    void abort(Verdict verdict) {
        end(verdict);
    }

    private void end(@Nullable Verdict verdict) {
        if (ended) {
            return;
        }
        ended = true;
        for (Link link : links) {
            if (link != null && verdict != null) {
                link.abort(verdict);
            } else if (link != null) {
                link.close();
            }
        }
        pause.close();
        end.accept(verdict == null);
    }

    /** Makes the thread that waits here look at its fate. From any thread. */
    void wake() {
        pause.wake();
    }
}
