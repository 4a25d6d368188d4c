package org.lockstep.inference;

import java.util.List;
import java.util.function.ToIntFunction;
import org.lockstep.collective.ObjectCodec;

/**
 * What replicas, the ledger and the homes of rows say to each other over the control plane.
 *
 * <pre>
 * port    question  answer
 * LEDGER  Ask       Grant, at once where it is of stock alone; else as soon as the replica may have some, or none will
 *                   wait any more
 *         Done      nothing
 *         Leave     nothing
 * HOME    Fetch     Request[], at least the first of those asked for
 *         Delivery  nothing
 * </pre>
 */
@SuppressWarnings("ArrayRecordComponent") // nobody compares them; copies would only cost
final class Leases {
    static final int LEDGER = 1;
    static final int HOME = 2;

    /** The most tokens and characters in one answer or delivery, but for one request or completion that has more itself. */
    static final int PARCEL = 128 * 1024;

    private static final List<Class<?>> OBJECTS = List.of(
            SamplingParams.class,
            FinishReason.class,
            Request.class,
            Request[].class,
            Completion.class,
            Completion[].class,
            Ask.class,
            Grant.class,
            Done.class,
            Leave.class,
            Fetch.class,
            Delivery.class);

    private Leases() {}

    /** A replica wants a lease: of {@code room} requests that it could begin now, and so many more ahead of that. */
    record Ask(int room, int ahead) {}

    /**
     * Its lease.
     *
     * @param from the first number
     * @param count how many; 0 if the replica shall have none in stock now
     * @param over whether no request will come any more
     */
    record Grant(long from, int count, boolean over) {
        static final Grant OVER = new Grant(0, 0, true);
        static final Grant NOTHING = new Grant(0, 0, false);
    }

    /** These numbers are complete, and their completions at home. */
    record Done(long[] numbers) {}

    /** A replica takes no more, and gives back what it did not complete. */
    record Leave() {}

    /** Requests are wanted: {@code count} of those at home, from place {@code from} on. */
    record Fetch(int from, int count) {}

    /** The completions of the requests at these places at home. */
    record Delivery(int[] places, Completion[] completions) {}

    static ObjectCodec codec() {
        return new ObjectCodec(OBJECTS);
    }

    /** How many of these make a parcel: at least the first. */
    static <T> int parcel(List<T> values, ToIntFunction<T> weight) {
        int count = 0;
        for (long room = PARCEL; count < values.size() && (count == 0 || room > 0); count++) {
            room -= weight.applyAsInt(values.get(count));
        }
        return count;
    }

    static int weight(Request request) {
        return request.prompt().length
                + 64
                + request.params().stop().stream().mapToInt(String::length).sum();
    }

    static int weight(Completion completion) {
        return completion.tokens().length + completion.text().length() + 64;
    }
}
