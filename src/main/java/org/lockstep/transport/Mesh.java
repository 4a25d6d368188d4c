package org.lockstep.transport;

import java.time.Duration;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

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

    private final int me;
    private final int size;
    private final long copiedBytes;
    private final LinkSet links;
    private final boolean[] open; // by peer: what the step still waits for
    private final boolean[] into; // by peer: whether its message has a place to go to
    private final Map<DataType, @Nullable HostBuffer[]> pieces = new EnumMap<>(DataType.class);

    /**
     * How a rank joins what all ranks show.
     */
    @FunctionalInterface
    public interface Fold {
        /**
         * Joins elements {@code from} to {@code from + count} of all ranks.
         *
         * @param sources by member of the circle
         * @param at where in each source these elements begin
         */
        void join(HostBuffer[] sources, int[] at, int from, int count);
    }

    /** One end of a transfer: the message's tag, its data, and the peer. */
    public record Letter(OperationTag tag, HostBuffer data, int peer) {}

    /**
     * The mesh of rank in group {@code me}.
     *
     * @param copiedBytes the largest message that no two ranks of the group lend each other
     */
    Mesh(int me, int size, long copiedBytes, LinkSet links) {
        this.me = me;
        this.size = size;
        this.copiedBytes = copiedBytes;
        this.links = links;
        this.open = new boolean[size];
        this.into = new boolean[size];
    }

    /**
     * Whether a message of so many bytes would be lent between some two ranks of the group: shown in place until
     * {@link #settle}. The same on all ranks, so that algorithms may depend on it.
     */
    public boolean lends(long bytes) {
        return bytes > copiedBytes;
    }

    /** Begins an operation: what it is called in errors, and how long it may wait in all; see {@link #later}. */
    public void begin(Object operation, Duration limit) {
        links.begin(operation, limit);
    }

    /** Some ranks of the group, this one among them, and room for what they show. Confined as its mesh. */
    public static final class Circle {
        private final int[] members;
        private final HostBuffer[] sources;
        private final int[] at;

        private Circle(int[] members) {
            this.members = members;
            this.sources = new HostBuffer[members.length];
            this.at = new int[members.length];
        }

        /** How many they are. */
        public int size() {
            return members.length;
        }

        /** The rank in group of the {@code i}th of them. */
        public int member(int i) {
            return members[i];
        }
    }

    /** The circle of these ranks in group, this one among them; for a {@link #fold} in ascending order. */
    public Circle circle(List<Integer> members) {
        return new Circle(members.stream().mapToInt(Integer::intValue).toArray());
    }

    /**
     * Sends {@code offers[p]} to each peer p of the circle and fills {@code targets[p]} with what p offers. Steps: 1; bytes:
     * what is offered.
     *
     * @param offers by rank in group, null where there are no elements; not to be changed before {@link #settle}
     * @param targets by rank in group, null where no elements come
     */
    public void exchange(
            Circle circle, OperationTag tag, @Nullable HostBuffer[] offers, @Nullable HostBuffer[] targets) {
        for (int peer : circle.members) {
            if (peer != me) {
                links.link(peer).send(sized(tag, offers[peer]), offers[peer]);
            }
        }
        int waiting = 0;
        for (int peer : circle.members) {
            if (peer != me) {
                HostBuffer target = targets[peer];
                links.link(peer).expect(sized(tag, target), target == null ? 0 : target.bytes());
                await(peer, true);
                into[peer] = false;
                waiting++;
            }
        }
        while (waiting > 0) {
            for (int peer : circle.members) {
                if (open[peer] && isTaken(links.link(peer), targets[peer])) {
                    await(peer, false);
                    waiting--;
                }
            }
            if (waiting > 0) {
                links.push();
                links.rest();
            }
        }
        links.pushTo(Long.MAX_VALUE);
        if (circle.members.length < size) {
            later(1);
        }
    }

    private void await(int peer, boolean awaits) {
        open[peer] = awaits;
        links.await(peer, awaits);
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
     * Sends {@code offers[p]} to each peer p of the circle and joins what all send with {@code own}, piece by piece while it
     * comes. Steps: 1; bytes: what is offered.
     *
     * @param offers by rank in group; not to be changed before {@link #settle}, but for elements that were joined already
     *     where nothing is lent
     * @param own this rank's part, of the type and length of what each peer sends
     */
    public void fold(Circle circle, OperationTag tag, @Nullable HostBuffer[] offers, HostBuffer own, Fold fold) {
        int[] members = circle.members;
        for (int i = 0; i < members.length; i++) {
            int peer = members[i];
            if (peer == me) {
                circle.sources[i] = own;
            } else {
                links.link(peer).send(sized(tag, offers[peer]), offers[peer]);
                links.link(peer).expect(sized(tag, own), own.bytes());
            }
        }
        int total = own.size();
        int width = own.type().bytes();
        int piece = PIECE_BYTES / width;
        int from = 0;
        do {
            int count = Math.min(piece, total - from);
            int waiting = 0;
            for (int peer : members) {
                if (peer != me) {
                    await(peer, true);
                    into[peer] = false;
                    waiting++;
                }
            }
            boolean lent = true;
            while (waiting > 0) {
                for (int i = 0; i < members.length; i++) {
                    int peer = members[i];
                    if (open[peer] && isHere(circle, i, own.type(), from, count)) {
                        await(peer, false);
                        waiting--;
                        lent &= links.link(peer).lent() != null;
                    } else if (peer == me) {
                        circle.at[i] = from;
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
            fold.join(circle.sources, circle.at, from, count);
            from += count;
        } while (from < total);
        for (int peer : members) {
            if (peer != me) {
                links.link(peer).received();
            }
        }
        links.pushTo(Long.MAX_VALUE);
        if (circle.members.length < size) {
            later(1);
        }
    }

    /** Whether elements {@code from} on of the {@code i}th member's message can be read, in its room or where lent. */
    private boolean isHere(Circle circle, int i, DataType type, int from, int count) {
        int peer = circle.members[i];
        Link link = links.link(peer);
        if (!link.arrived()) {
            return false;
        }
        HostBuffer lent = link.lent();
        if (lent != null) {
            circle.sources[i] = lent;
            circle.at[i] = from;
            return true;
        }
        if (!into[peer]) {
            HostBuffer room = room(type, peer);
            HostBuffer part = count == room.size() ? room : room.slice(0, count);
            circle.sources[i] = part;
            circle.at[i] = 0;
            into[peer] = true;
            if (count > 0) {
                link.into(part);
            }
        }
        return count == 0 || link.filled();
    }

    /** Made when first used: of a large group a rank may never fold what most others send, or only look where it lies. */
    private HostBuffer room(DataType type, int peer) {
        @Nullable HostBuffer[] rooms = pieces.get(type);
        if (rooms == null) {
            rooms = new @Nullable HostBuffer[size];
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
        new Transfers(links, sends, receives).run();
        links.rested();
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
        return links.differs(mine, peer, theirs);
    }

    /** What {@code peer} sent cannot be taken. */
    public Failed refused(OperationTag mine, int peer, String what) {
        return links.refused(mine, peer, what);
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
