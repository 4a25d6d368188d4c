package org.lockstep.inference;

import java.lang.reflect.Array;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.Function;
import java.util.function.ToIntFunction;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Communicator;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelState;
import org.lockstep.topology.ProcessGroup;

/**
 * Rows stay home: each rank of the world keeps its rows, their requests travel to the replicas' source ranks, their
 * completions travel back.
 *
 * <p>Requests are numbered over the world in the order of ranks, and within a rank in the order given; request k goes to
 * replica k mod replicas, so every replica has its share within one. One all-gather tells all ranks how many requests each
 * has; from it all of them know who sends what to whom, and walk through the pairs in the same order, so that nobody waits
 * for one that waits for him. Confined to its rank's thread.
 */
public final class RequestExchange {
    /** What travels: to be named in {@code WorldSpec.objects}. */
    public static final List<Class<?>> OBJECTS = List.of(
            SamplingParams.class,
            FinishReason.class,
            Request.class,
            Request[].class,
            Completion.class,
            Completion[].class);

    private static final int PARCEL = 1 << 20; // ints and chars, far below what an object may have

    private final Communicator world;
    private final Duration patience;
    private final Kernels kernels;
    private final int me;
    private final int[] sources; // by replica, as ranks in the world group

    /**
     * Makes no connection and sends nothing.
     *
     * @param patience how long a rank waits for the slowest to have its requests, and for the slowest replica to be done;
     *     one that dies meanwhile is noticed at once
     */
    public RequestExchange(Communicator world, ParallelState state, Kernels kernels, Duration patience) {
        ProcessGroup all = state.worldGroup();
        this.world = world;
        this.patience = patience;
        this.kernels = kernels;
        this.me = all.rankInGroup(state.rank());
        this.sources = state.grid().groups(GroupKind.MODEL).stream()
                .mapToInt(replica -> all.rankInGroup(replica.first()))
                .toArray();
    }

    /**
     * Sends this rank's requests out, has each replica complete what it got, and brings the completions home. Collective:
     * every rank of the world calls it, with or without requests of its own.
     *
     * @param home this rank's requests
     * @param replica completes requests, in order; called once on every rank, with an empty list on those that are no
     *     source, such as {@code generator::run}
     * @return the completions of {@code home}, in the same order
     */
    public List<Completion> run(List<Request> home, Function<List<Request>, List<Completion>> replica) {
        world.barrier(patience);
        Routes routes = new Routes(counts(home.size()), sources.length);
        List<Request> mine = new ArrayList<>();
        for (int from = 0; from < world.size(); from++) {
            for (int to = 0; to < sources.length; to++) {
                List<Request> parcel = from == me ? routes.pick(home, from, to) : List.of();
                mine.addAll(carry(
                        parcel, routes.count(from, to), from, sources[to], Request[].class, RequestExchange::weight));
            }
        }
        List<Completion> done = replica.apply(mine);
        check(mine, done);
        world.barrier(patience); // replicas end when they end: none may run into another's deadline for one operation
        List<List<Completion>> back = new ArrayList<>(Collections.nCopies(sources.length, List.of()));
        int given = 0;
        for (int to = 0; to < world.size(); to++) {
            for (int from = 0; from < sources.length; from++) {
                int count = routes.count(to, from);
                List<Completion> parcel = List.of();
                if (sources[from] == me) {
                    parcel = done.subList(given, given + count);
                    given += count;
                }
                List<Completion> arrived =
                        carry(parcel, count, sources[from], to, Completion[].class, RequestExchange::weight);
                if (to == me) {
                    back.set(from, arrived);
                }
            }
        }
        return routes.merge(back, me);
    }

    private long[] counts(int own) {
        if (world.size() == 1) {
            return new long[] {own};
        }
        try (Buffer send = kernels.upload(HostBuffer.of(DataType.I64, new long[] {own}), 1)
                        .buffer();
                Buffer receive = kernels.zeros(DataType.I64, world.size()).buffer()) {
            world.allGather(send, receive);
            HostBuffer host = receive.toHost();
            long[] counts = new long[world.size()];
            for (int i = 0; i < counts.length; i++) {
                counts[i] = host.longs()[host.offset() + i];
            }
            return counts;
        }
    }

    /** Moves {@code count} values from one rank to another, in parcels of bounded size; returns them on the receiver. */
    private <T> List<T> carry(List<T> values, int count, int from, int to, Class<T[]> type, ToIntFunction<T> weight) {
        if (from == to) {
            return values;
        }
        if (me == from) {
            int next = 0;
            while (next < count) {
                int first = next;
                for (long room = PARCEL; next < count && (next == first || room > 0); next++) {
                    room -= weight.applyAsInt(values.get(next));
                }
                T[] empty = type.cast(Array.newInstance(type.getComponentType(), 0));
                world.sendObject(values.subList(first, next).toArray(empty), to);
            }
        }
        List<T> arrived = new ArrayList<>();
        while (me == to && arrived.size() < count) {
            T[] parcel = world.receiveObject(from, type);
            if (parcel.length == 0 || parcel.length > count - arrived.size()) {
                throw LockstepException.report(
                                ErrorCode.PROTOCOL,
                                "rank " + from + " sent " + parcel.length + " requests or completions, not 1 to "
                                        + (count - arrived.size()))
                        .exception();
            }
            Collections.addAll(arrived, parcel);
        }
        return arrived;
    }

    private static int weight(Request request) {
        return request.prompt().length
                + 64
                + request.params().stop().stream().mapToInt(String::length).sum();
    }

    private static int weight(Completion completion) {
        return completion.tokens().length + completion.text().length() + 64;
    }

    private static void check(List<Request> asked, List<Completion> done) {
        boolean fits = asked.size() == done.size();
        for (int i = 0; fits && i < asked.size(); i++) {
            fits = asked.get(i).id() == done.get(i).id();
        }
        if (!fits) {
            throw new IllegalArgumentException("the replica was given " + asked.size() + " requests and returned "
                    + done.size() + " completions, or others than asked for");
        }
    }

    /** Who sends how many to whom, from the counts alone: equal on all ranks. */
    private static final class Routes {
        private final long[] offsets;
        private final int replicas;

        Routes(long[] counts, int replicas) {
            this.replicas = replicas;
            this.offsets = new long[counts.length + 1];
            for (int rank = 0; rank < counts.length; rank++) {
                if (counts[rank] < 0 || counts[rank] > Integer.MAX_VALUE) {
                    throw LockstepException.report(
                                    ErrorCode.PROTOCOL, "rank " + rank + " has " + counts[rank] + " requests")
                            .exception();
                }
                offsets[rank + 1] = offsets[rank] + counts[rank];
            }
        }

        /** Requests of {@code home} that go to {@code replica}. */
        int count(int home, int replica) {
            return (int) (upTo(offsets[home + 1], replica) - upTo(offsets[home], replica));
        }

        private long upTo(long end, int replica) {
            return (end - replica + replicas - 1) / replicas;
        }

        private int replicaOf(int home, int place) {
            return (int) ((offsets[home] + place) % replicas);
        }

        <T> List<T> pick(List<T> values, int home, int replica) {
            List<T> picked = new ArrayList<>();
            for (int i = 0; i < values.size(); i++) {
                if (replicaOf(home, i) == replica) {
                    picked.add(values.get(i));
                }
            }
            return picked;
        }

        <T> List<T> merge(List<List<T>> byReplica, int home) {
            int size = (int) (offsets[home + 1] - offsets[home]);
            int[] next = new int[replicas];
            List<T> merged = new ArrayList<>(size);
            for (int i = 0; i < size; i++) {
                int replica = replicaOf(home, i);
                merged.add(byReplica.get(replica).get(next[replica]++));
            }
            return merged;
        }
    }
}
