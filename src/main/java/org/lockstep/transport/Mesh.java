package org.lockstep.transport;

import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.TransportKind;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ProcessGroup;

/**
 * The links of one rank to the peers of one group, and the steps that algorithms are made of. Each link is of the kind that
 * fits its pair of ranks; a step does not care.
 *
 * <p>In {@link #exchange} and {@link #fold} every rank says its tag to every other and hears theirs, so that each learns of
 * a mismatch at that very operation. All links make progress together.
 *
 * <p>Waiting adapts: a spin where every rank of the host can have a core, then yields, then sleep; no core burns when ranks
 * outnumber cores. A step that fails throws {@link Failed}; the mesh is then good for {@link #abort} only. Confined to the
 * thread that its communicator admitted, except {@link #wake}.
 */
public final class Mesh {
    /** Bytes of one piece of a reduction: own, a peer's, and the sum stay in the first-level cache. */
    private static final int PIECE_BYTES = 8 * 1024;

    private final ProcessGroup group;
    private final int me;
    private final int size;
    private final IntFunction<Link> maker;
    private final @Nullable Link[] links;
    private final Fate fate;
    private final Pause pause;
    private final Consumer<Boolean> end;
    private boolean ended;
    private final boolean[] open; // by peer: what the step still waits for
    private final boolean[] into;
    private final Map<DataType, HostBuffer[]> pieces = new EnumMap<>(DataType.class);
    private final HostBuffer[] sources;
    private final int[] at;
    private Object what = "";

    /**
     * How a rank joins what all ranks show.
     */
    @FunctionalInterface
    public interface Fold {
        /**
         * Joins elements {@code from} to {@code from + count} of all ranks.
         *
         * @param sources by rank in group
         * @param at where in each source these elements begin
         */
        void join(HostBuffer[] sources, int[] at, int from, int count);
    }

    /** One end of a transfer: the message's tag, its data, and the peer. */
    public record Letter(OperationTag tag, HostBuffer data, int peer) {}

    /**
     * The mesh of rank in group {@code me}.
     *
     * @param maker of the link to a rank in group, when it is first used
     * @param end tells those who wait for this rank that it left, if that was in order, and frees what the links have in
     *     common
     */
    Mesh(ProcessGroup group, int me, IntFunction<Link> maker, Fate fate, Pause pause, Consumer<Boolean> end) {
        this.group = group;
        this.me = me;
        this.size = group.size();
        this.maker = maker;
        this.links = new @Nullable Link[size];
        this.fate = fate;
        this.pause = pause;
        this.end = end;
        this.open = new boolean[size];
        this.into = new boolean[size];
        this.sources = new HostBuffer[size];
        this.at = new int[size];
    }

    private Link link(int peer) {
        Link link = links[peer];
        if (link == null) {
            link = maker.apply(peer);
            links[peer] = link;
        }
        return link;
    }

    /** Whether a message of so many bytes would be lent to some peer: shown in place until {@link #settle}. */
    public boolean lends(long bytes) {
        for (int peer = 0; peer < size; peer++) {
            if (peer != me && link(peer).lends(bytes)) {
                return true;
            }
        }
        return false;
    }

    /** Begins an operation: what it is called in errors, and how long each of its steps may wait. */
    public void begin(Object operation, Duration limit) {
        what = operation;
        pause.begin(limit);
    }

    /**
     * Sends {@code offers[p]} to each peer p and fills {@code targets[p]} with what p offers. Steps: 1; bytes: what is
     * offered.
     *
     * @param offers by rank in group, null where there are no elements; not to be changed before {@link #settle}
     * @param targets by rank in group, null where no elements come
     */
    public void exchange(OperationTag tag, @Nullable HostBuffer[] offers, @Nullable HostBuffer[] targets) {
        for (int peer = 0; peer < size; peer++) {
            if (peer != me) {
                link(peer).send(sized(tag, offers[peer]), offers[peer]);
            }
        }
        int waiting = 0;
        for (int peer = 0; peer < size; peer++) {
            if (peer != me) {
                HostBuffer target = targets[peer];
                link(peer).expect(sized(tag, target), target == null ? 0 : target.bytes());
                open[peer] = true;
                into[peer] = false;
                waiting++;
            }
        }
        while (waiting > 0) {
            for (int peer = 0; peer < size; peer++) {
                if (open[peer] && isTaken(link(peer), targets[peer])) {
                    open[peer] = false;
                    waiting--;
                }
            }
            if (waiting > 0) {
                push();
                rest();
            }
        }
        pushAll();
    }

    /** Of blocks of unequal length each pair of ranks compares its own count. */
    private static OperationTag sized(OperationTag tag, @Nullable HostBuffer data) {
        return tag.operation().isRagged() ? tag.withCount(data == null ? 0 : data.length()) : tag;
    }

    /** Whether the message that is expected over {@code link} is complete in {@code target}. */
    private boolean isTaken(Link link, @Nullable HostBuffer target) {
        if (!link.arrived()) {
            return false;
        }
        if (target != null && target.size() > 0) {
            HostBuffer lent = link.lent();
            if (lent != null) {
                target.copyFrom(lent);
            } else {
                if (!into[link.peer()]) {
                    link.into(target);
                    into[link.peer()] = true;
                }
                if (!link.filled()) {
                    return false;
                }
            }
        }
        link.received();
        return true;
    }

    /**
     * Sends {@code offers[p]} to each peer p and joins what all send with {@code own}, piece by piece while it comes. Steps:
     * 1; bytes: what is offered.
     *
     * @param offers by rank in group; not to be changed before {@link #settle}, but for elements that were joined already
     *     where nothing is lent
     * @param own this rank's part, of the type and length of what each peer sends
     */
    public void fold(OperationTag tag, @Nullable HostBuffer[] offers, HostBuffer own, Fold fold) {
        for (int peer = 0; peer < size; peer++) {
            if (peer != me) {
                link(peer).send(sized(tag, offers[peer]), offers[peer]);
                link(peer).expect(sized(tag, own), own.bytes());
            }
        }
        sources[me] = own;
        int total = own.size();
        int width = own.type().bytes();
        HostBuffer[] room = pieces(own.type());
        int piece = PIECE_BYTES / width;
        int from = 0;
        do {
            int count = Math.min(piece, total - from);
            int waiting = 0;
            for (int peer = 0; peer < size; peer++) {
                if (peer != me) {
                    open[peer] = true;
                    into[peer] = false;
                    waiting++;
                }
            }
            while (waiting > 0) {
                for (int peer = 0; peer < size; peer++) {
                    if (open[peer] && isHere(link(peer), room[peer], from, count)) {
                        open[peer] = false;
                        waiting--;
                    }
                }
                if (waiting > 0) {
                    push();
                    rest();
                }
            }
            pushTo((long) (from + count) * width);
            at[me] = from;
            if (isAllLent()) {
                count = total - from;
            }
            fold.join(sources, at, from, count);
            from += count;
        } while (from < total);
        for (int peer = 0; peer < size; peer++) {
            if (peer != me) {
                link(peer).received();
            }
        }
        pushAll();
    }

    private boolean isAllLent() {
        for (int peer = 0; peer < size; peer++) {
            if (peer != me && link(peer).lent() == null) {
                return false;
            }
        }
        return true;
    }

    /** Whether elements {@code from} on of the expected message can be read, in {@code room} or where they are lent. */
    private boolean isHere(Link link, HostBuffer room, int from, int count) {
        if (!link.arrived()) {
            return false;
        }
        int peer = link.peer();
        HostBuffer lent = link.lent();
        if (lent != null) {
            sources[peer] = lent;
            at[peer] = from;
            return true;
        }
        if (!into[peer]) {
            HostBuffer part = count == room.size() ? room : room.slice(0, count);
            sources[peer] = part;
            at[peer] = 0;
            into[peer] = true;
            if (count > 0) {
                link.into(part);
            }
        }
        return count == 0 || link.filled();
    }

    private HostBuffer[] pieces(DataType type) {
        HostBuffer[] found = pieces.get(type);
        if (found == null) {
            found = new HostBuffer[size];
            for (int peer = 0; peer < size; peer++) {
                found[peer] = HostBuffer.allocate(type, PIECE_BYTES / type.bytes());
            }
            pieces.put(type, found);
        }
        return found;
    }

    /** Returns when no peer looks at this rank's memory any more. */
    public void settle() {
        for (int peer = 0; peer < size; peer++) {
            Link link = links[peer];
            while (link != null && !link.isReturned()) {
                rest();
            }
        }
        pause.end();
    }

    /**
     * Sends and receives letters, all together; several to or from one peer in their order. What was sent may be changed
     * on return.
     */
    public void transfer(List<Letter> sends, List<Letter> receives) {
        boolean[] sent = new boolean[sends.size()];
        boolean[] begun = new boolean[sends.size()];
        boolean[] got = new boolean[receives.size()];
        boolean[] expected = new boolean[receives.size()];
        int left = sends.size() + receives.size();
        while (left > 0) {
            for (int i = 0; i < receives.size(); i++) {
                Letter letter = receives.get(i);
                if (!got[i] && (expected[i] || isFirst(receives, expected, got, i))) {
                    Link link = link(letter.peer());
                    if (!expected[i]) {
                        expected[i] = true;
                        into[letter.peer()] = false;
                        link.expect(letter.tag(), letter.data().bytes());
                    }
                    open[letter.peer()] = true;
                    if (isTaken(link, letter.data())) {
                        open[letter.peer()] = false;
                        got[i] = true;
                        left--;
                    }
                }
            }
            for (int i = 0; i < sends.size(); i++) {
                Letter letter = sends.get(i);
                if (!sent[i] && (begun[i] || isFirst(sends, begun, sent, i))) {
                    Link link = link(letter.peer());
                    if (!begun[i]) {
                        begun[i] = true;
                        link.send(letter.tag(), letter.data());
                    }
                    if (link.pushed()) {
                        sent[i] = true;
                        left--;
                    }
                }
            }
            if (left > 0) {
                refuseElsewhere(sends, sent);
                rest();
            }
        }
        for (Letter letter : sends) {
            Link link = link(letter.peer());
            while (!link.isReturned() && !(pause.isLong() && link.isReplaced())) {
                rest();
            }
        }
        pause.end();
    }

    /** Whether letter {@code i} is the next one with its peer. */
    private static boolean isFirst(List<Letter> letters, boolean[] begun, boolean[] done, int i) {
        for (int before = 0; before < i; before++) {
            if (letters.get(before).peer() == letters.get(i).peer() && !done[before]) {
                return false;
            }
        }
        return !begun[i];
    }

    /** A peer that is in an operation of the whole group reads no transfer that does not fit the link. */
    private void refuseElsewhere(List<Letter> sends, boolean[] sent) {
        for (int i = 0; i < sends.size(); i++) {
            Letter letter = sends.get(i);
            OperationTag theirs = sent[i] ? null : link(letter.peer()).unexpected();
            if (theirs != null && !theirs.operation().isTransfer()) {
                throw new Failed(Verdict.mismatch(
                        group, me, letter.tag().toString(), letter.peer(), theirs.toString(), "operation"));
            }
        }
    }

    private void push() {
        for (Link link : links) {
            if (link != null) {
                link.pushed();
            }
        }
    }

    private void pushAll() {
        pushTo(Long.MAX_VALUE);
    }

    /** Returns when so many bytes of every message, or all, are on their way. */
    private void pushTo(long bytes) {
        for (Link link : links) {
            while (link != null && !link.pushed() && link.pushedBytes() < bytes) {
                push();
                rest();
            }
        }
    }

    /** After a round over the links: waits a little if nothing moved, and looks for what ends the operation. */
    private void rest() {
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
        for (int peer = 0; peer < size; peer++) {
            Link link = links[peer];
            if (link != null && (open[peer] || !link.isReturned())) {
                link.check();
            }
        }
        if (pause.isLate()) {
            List<Integer> missing = new ArrayList<>();
            for (int peer = 0; peer < size; peer++) {
                Link link = links[peer];
                if (link != null && (open[peer] || !link.isReturned() || !link.pushed())) {
                    missing.add(peer);
                }
            }
            throw new Failed(Verdict.timeout(group, me, what.toString(), pause.limit(), missing));
        }
    }

    /** What carries messages to a rank in group. */
    public TransportKind kind(int peer) {
        return link(peer).kind();
    }

    /** Tells the peers that this rank left, and frees everything. Waits for nobody. */
    public void close() {
        end(null);
    }

    /** Tells the peers why, as far as that is possible without waiting, and frees everything. Idempotent. */
    public void abort(Verdict verdict) {
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
    public void wake() {
        pause.wake();
    }
}
