package org.lockstep.transport;

import java.time.Duration;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongFunction;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/**
 * The links of one rank to the peers of one group, and the steps that algorithms are made of. Each link is of the kind that
 * fits its pair of ranks; a step does not care.
 *
 * <p>What is {@link #among} some ranks of a group is a mesh too: an algorithm runs over those as over a group, and they are
 * numbered from 0 on as in one.
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

    private final int me;
    private final int[] members; // their ranks in group
    private final boolean whole; // all of the group
    private final Predicate<List<Integer>> threads;
    private final boolean lends;
    private final LinkSet links;
    private final boolean[] open; // by peer: what the step still waits for
    private final boolean[] into; // by peer: whether its message has a place to go to
    private final HostBuffer[] sources; // of a fold, by rank
    private final int[] at;
    private final Map<DataType, @Nullable HostBuffer[]> pieces = new EnumMap<>(DataType.class);

    /**
     * How a rank joins what all ranks show.
     */
    @FunctionalInterface
    public interface Fold {
        /**
         * Joins elements {@code from} to {@code from + count} of all ranks.
         *
         * @param sources by rank
         * @param at where in each source these elements begin
         */
        void join(HostBuffer[] sources, int[] at, int from, int count);
    }

    /** One end of a transfer: the message's tag, its data, and the peer. */
    public record Letter(OperationTag tag, HostBuffer data, int peer) {}

    /**
     * The mesh of rank in group {@code me}.
     *
     * @param threads whether any two of these ranks in group are threads of one JVM, and lend each other what is large
     */
    Mesh(int me, int size, Predicate<List<Integer>> threads, LinkSet links) {
        this(me, IntStream.range(0, size).toArray(), true, threads, links);
    }

    private Mesh(int me, int[] members, boolean whole, Predicate<List<Integer>> threads, LinkSet links) {
        this.me = me;
        this.members = members;
        this.whole = whole;
        this.threads = threads;
        this.lends = threads.test(IntStream.of(members).boxed().toList());
        this.links = links;
        this.open = new boolean[members.length];
        this.into = new boolean[members.length];
        this.sources = new HostBuffer[members.length];
        this.at = new int[members.length];
    }

    /** The mesh of these ranks of this one, in ascending order and this one among them; its operations are those of the group. */
    public Mesh among(List<Integer> ranks) {
        int[] some = ranks.stream().mapToInt(rank -> members[rank]).toArray();
        return new Mesh(ranks.indexOf(me), some, false, threads, links);
    }

    /** This rank. */
    public int rank() {
        return me;
    }

    /** How many ranks there are. */
    public int size() {
        return members.length;
    }

    /**
     * Whether a message of so many bytes would be lent between some two of its ranks: shown in place until
     * {@link #settle}. The same on all of them, so that algorithms may depend on it.
     */
    public boolean lends(long bytes) {
        return lends && bytes > Board.COPIED_BYTES;
    }

    /**
     * Begins an operation: what it is called in errors, and how long it may wait in all; see {@link #moves} and {@link #later}.
     *
     * @param extension how much longer for so many bytes more
     */
    public void begin(Object operation, Duration limit, LongFunction<Duration> extension) {
        links.begin(operation, limit, extension);
    }

    /** The operation turns out to move so many bytes more than it was begun for, here or between those who are waited for. */
    public void moves(long bytes) {
        links.moves(bytes);
    }

    private Link link(int peer) {
        return links.link(members[peer]);
    }

    /**
     * Sends {@code offers[p]} to each peer p and fills {@code targets[p]} with what p offers. Steps: 1; bytes: what is offered.
     *
     * @param offers by rank, null where there are no elements; not to be changed before {@link #settle}
     * @param targets by rank, null where no elements come
     */
    public void exchange(OperationTag tag, @Nullable HostBuffer[] offers, @Nullable HostBuffer[] targets) {
        for (int peer = 0; peer < members.length; peer++) {
            if (peer != me) {
                link(peer).send(sized(tag, offers[peer]), offers[peer]);
            }
        }
        for (int peer = 0; peer < members.length; peer++) {
            if (peer != me) {
                HostBuffer target = targets[peer];
                link(peer).expect(sized(tag, target), target == null ? 0 : target.bytes());
            }
        }
        int waiting = awaitAll();
        while (waiting > 0) {
            for (int peer = 0; peer < members.length; peer++) {
                if (open[peer] && isTaken(peer, targets[peer])) {
                    await(peer, false);
                    waiting--;
                }
            }
            if (waiting > 0) {
                links.push();
                links.rest();
            }
        }
        endStep();
    }

    /** Waits for a message of each peer from here on; how many they are. */
    private int awaitAll() {
        for (int peer = 0; peer < members.length; peer++) {
            if (peer != me) {
                await(peer, true);
                into[peer] = false;
            }
        }
        return members.length - 1;
    }

    /** All that was begun goes out. */
    private void endStep() {
        links.pushTo(Long.MAX_VALUE);
        if (!whole) {
            later(1);
        }
    }

    private void await(int peer, boolean awaits) {
        open[peer] = awaits;
        links.await(members[peer], awaits);
    }

    /** Of blocks of unequal length each pair of ranks compares its own count. */
    private static OperationTag sized(OperationTag tag, @Nullable HostBuffer data) {
        return tag.operation().isRagged() ? tag.withCount(data == null ? 0 : data.length()) : tag;
    }

    /** Whether the message that is expected of {@code peer} is complete in {@code target}. */
    private boolean isTaken(int peer, @Nullable HostBuffer target) {
        Link link = link(peer);
        if (!link.arrived()) {
            return false;
        }
        if (target != null && target.size() > 0) {
            HostBuffer lent = link.lent();
            if (lent != null) {
                target.copyFrom(lent);
            } else {
                if (!into[peer]) {
                    link.into(target, target.size());
                    into[peer] = true;
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
     * Sends {@code offers[p]} to each peer p and joins what all send with {@code own}, piece by piece while it comes. Steps: 1;
     * bytes: what is offered.
     *
     * @param offers by rank; not to be changed before {@link #settle}, but for elements that were joined already where nothing
     *     is lent
     * @param own this rank's part, of the type and length of what each peer sends
     */
    public void fold(OperationTag tag, @Nullable HostBuffer[] offers, HostBuffer own, Fold fold) {
        for (int peer = 0; peer < members.length; peer++) {
            if (peer == me) {
                show(peer, own);
            } else {
                link(peer).send(sized(tag, offers[peer]), offers[peer]);
                link(peer).expect(sized(tag, own), own.bytes());
            }
        }
        int total = own.size();
        int width = own.type().bytes();
        int piece = PIECE_BYTES / width;
        int from = 0;
        do {
            int count = Math.min(piece, total - from);
            at[me] = from;
            int waiting = awaitAll();
            boolean lent = true;
            while (waiting > 0) {
                for (int peer = 0; peer < members.length; peer++) {
                    if (open[peer] && isHere(peer, own.type(), from, count)) {
                        await(peer, false);
                        waiting--;
                        lent &= link(peer).lent() != null;
                    }
                }
                if (waiting > 0) {
                    links.push();
                    links.rest();
                }
            }
            links.pushTo((long) (from + count) * width);
            if (lent) {
                count = total - from; // all of it is here
            }
            fold.join(sources, at, from, count);
            from += count;
        } while (from < total);
        for (int peer = 0; peer < members.length; peer++) {
            if (peer != me) {
                link(peer).received();
            }
        }
        endStep();
    }

    /** Whether elements {@code from} on of the peer's message can be read, in its room or where lent. */
    private boolean isHere(int peer, DataType type, int from, int count) {
        Link link = link(peer);
        if (!link.arrived()) {
            return false;
        }
        HostBuffer lent = link.lent();
        if (lent != null) {
            show(peer, lent);
            at[peer] = from;
            return true;
        }
        if (!into[peer]) {
            HostBuffer room = room(type, peer);
            show(peer, room);
            at[peer] = 0;
            into[peer] = true;
            if (count > 0) {
                link.into(room, count);
            }
        }
        return count == 0 || link.filled();
    }

    private void show(int peer, HostBuffer data) {
        if (sources[peer] != data) { // the same as before, mostly, and storing a reference costs a fence
            sources[peer] = data;
        }
    }

    /** Made when first used: of a large group a rank may never fold what most others send, or only look where it lies. */
    private HostBuffer room(DataType type, int peer) {
        @Nullable HostBuffer[] rooms = pieces.get(type);
        if (rooms == null) {
            rooms = new @Nullable HostBuffer[members.length];
            pieces.put(type, rooms);
        }
        HostBuffer room = rooms[peer];
        if (room == null) {
            room = HostBuffer.allocate(type, PIECE_BYTES / type.bytes());
            rooms[peer] = room;
        }
        return room;
    }

    /**
     * Sends and receives letters, all together; several to or from one peer in their order. What was sent may be changed
     * on return.
     */
    public void transfer(List<Letter> sends, List<Letter> receives) {
        new Transfers(links, inGroup(sends), inGroup(receives)).run();
        links.rested();
        if (!whole) {
            later(1);
        }
    }

    private List<Letter> inGroup(List<Letter> letters) {
        return whole
                ? letters
                : letters.stream()
                        .map(letter -> new Letter(letter.tag, letter.data, members[letter.peer]))
                        .toList();
    }

    /**
     * Who is waited for from here on may itself wait, for ranks that so many more steps away: it knows better who does not come, and
     * has a quarter of a second for each, a second in all, to say so first when the time is over. A step among some ranks of the
     * group is one by itself.
     */
    public void later(int steps) {
        links.later(steps);
    }

    /** What {@code peer} is in is not what this rank is in, as an algorithm found. */
    public Failed differs(OperationTag mine, int peer, OperationTag theirs) {
        return links.differs(mine, members[peer], theirs);
    }

    /** What {@code peer} sent cannot be taken. */
    public Failed refused(OperationTag mine, int peer, String what) {
        return links.refused(mine, members[peer], what);
    }

    /** Returns when no peer looks at this rank's memory any more. */
    public void settle() {
        links.settle();
    }

    /** Tells the peers that this rank left, and frees everything. Waits for nobody. */
    public void close() {
        links.close();
    }

    /** Tells the peers why, as far as that is possible without waiting, and frees everything. Idempotent. */
    public void abort(Verdict verdict) {
        links.abort(verdict);
    }

    /** Makes the thread that waits here look at its fate. From any thread. */
    public void wake() {
        links.wake();
    }
}
