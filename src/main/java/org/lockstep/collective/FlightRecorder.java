package org.lockstep.collective;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.tensor.DataType;
import org.lockstep.topology.ProcessGroup;

/**
 * The last operations of one communicator, after PyTorch's flight recorder: a ring of numbers that are overwritten in place,
 * so that noting an operation is a few stores and no allocation.
 *
 * <p>The clock is read where the {@link Meter} reads it anyhow; other times are those of the reading before. Written by the
 * thread that is inside, read by any: what is overwritten while it is read is left out.
 */
final class FlightRecorder {
    /** Operations that are kept. */
    static final int LENGTH = 256;

    // One operation is so many numbers, in this order.
    private static final int SEQUENCE = 0;
    private static final int WORDS = 1;
    private static final int COUNT = 2;
    private static final int ROOT = 3;
    private static final int QUEUED = 4;
    private static final int STARTED = 5;
    private static final int ENDED = 6;
    private static final int WIDTH = 7;

    // The words of an operation, each in a byte; that of what is absent is 0.
    private static final int KIND_SHIFT = 8;
    private static final int TYPE_SHIFT = 16;
    private static final long RECEIVES = 1L << 24;
    private static final long COMPLETE = 1L << 25;
    private static final long BYTE = 0xff;

    private static final List<Operation> OPERATIONS = List.of(Operation.values());
    private static final List<ReduceOp.Kind> KINDS = List.of(ReduceOp.Kind.values());
    private static final List<DataType> TYPES = List.of(DataType.values());

    private long[]
            ring = {}; // made by the first operation, as the next two: many groups have one rank and nothing to do
    private @Nullable String[] threads = {};
    private long[] transfers = {}; // by peer: sends so far, then receives
    private final AtomicLong begun = new AtomicLong();
    private long open; // the first that is under way
    private long clock = System.nanoTime(); // by its last reading

    /** An operation of the whole group begins. */
    void begin(OperationTag tag, long queued, long time) {
        open = begun.getPlain();
        note(tag.sequence(), words(tag.operation(), tag.op(), tag.type()), tag.count(), tag.root(), queued, time);
    }

    /**
     * A transfer begins.
     *
     * @param type null for an object
     * @param first whether those before are over; else it is carried out together with them
     * @param size of the group
     */
    void transfer(
            boolean sends,
            @Nullable DataType type,
            long count,
            int peer,
            int size,
            boolean first,
            long queued,
            long time) {
        if (transfers.length == 0) {
            transfers = new long[2 * size];
        }
        if (first) {
            open = begun.getPlain();
        }
        long sequence = ++transfers[sends ? peer : size + peer];
        long words = words(type == null ? Operation.SEND_OBJECT : Operation.SEND, null, type);
        note(sequence, sends ? words : words | RECEIVES, count, peer, queued, time);
    }

    @SuppressWarnings("EnumOrdinal") // which never leaves this object
    private static long words(Operation operation, ReduceOp.@Nullable Kind op, @Nullable DataType type) {
        return operation.ordinal()
                | (op == null ? 0L : op.ordinal() + 1L) << KIND_SHIFT
                | (type == null ? 0L : type.ordinal() + 1L) << TYPE_SHIFT;
    }

    private void note(long sequence, long words, long count, int root, long queued, long time) {
        if (ring.length == 0) {
            threads = new String[LENGTH];
            ring = new long[LENGTH * WIDTH];
        }
        if (time != 0) {
            clock = time;
        }
        long number = begun.getPlain();
        int slot = (int) (number % LENGTH);
        int at = slot * WIDTH;
        ring[at + SEQUENCE] = sequence;
        ring[at + WORDS] = words;
        ring[at + COUNT] = count;
        ring[at + ROOT] = root;
        ring[at + QUEUED] = queued == 0 ? clock : queued;
        ring[at + STARTED] = clock;
        ring[at + ENDED] = 0;
        String name = Thread.currentThread().getName();
        if (!name.equals(threads[slot])) { // storing a reference costs a fence
            threads[slot] = name;
        }
        begun.setRelease(number + 1);
    }

    /**
     * Whatever began last is complete.
     *
     * @param time 0 if the clock was not read
     */
    void end(long time) {
        if (time != 0) {
            clock = time;
        }
        for (long number = Math.max(open, begun.getPlain() - LENGTH); number < begun.getPlain(); number++) {
            int at = (int) (number % LENGTH) * WIDTH;
            ring[at + ENDED] = clock;
            ring[at + WORDS] |= COMPLETE;
        }
    }

    /** What is in the ring now, as rank in group {@code me} sees it. From any thread. */
    Flight read(ProcessGroup group, int me) {
        long until = begun.getAcquire();
        long[] numbers = ring.clone();
        @Nullable String[] names = threads.clone();
        long epoch = TimeUnit.MILLISECONDS.toNanos(System.currentTimeMillis()) - System.nanoTime();
        long from = Math.max(0, Math.max(until, begun.getAcquire() + 1) - LENGTH);
        List<Flight.Entry> entries = new ArrayList<>();
        for (long number = numbers.length == 0 ? until : from; number < until; number++) {
            int slot = (int) (number % LENGTH);
            entries.add(entry(numbers, slot * WIDTH, String.valueOf(names[slot]), epoch, me));
        }
        return new Flight(group, group.rank(me), until, entries);
    }

    private static Flight.Entry entry(long[] numbers, int at, String thread, long epoch, int me) {
        long words = numbers[at + WORDS];
        Operation operation = OPERATIONS.get((int) (words & BYTE));
        int kind = (int) (words >> KIND_SHIFT & BYTE);
        int type = (int) (words >> TYPE_SHIFT & BYTE);
        boolean receives = (words & RECEIVES) != 0;
        boolean complete = (words & COMPLETE) != 0;
        int root = (int) numbers[at + ROOT];
        OperationTag tag = new OperationTag(
                numbers[at + SEQUENCE],
                operation,
                kind == 0 ? null : KINDS.get(kind - 1),
                type == 0 ? null : TYPES.get(type - 1),
                numbers[at + COUNT],
                receives ? me : root);
        return new Flight.Entry(
                tag,
                operation.isTransfer() ? root : -1,
                receives,
                thread,
                epoch + numbers[at + QUEUED],
                epoch + numbers[at + STARTED],
                complete ? epoch + numbers[at + ENDED] : 0);
    }
}
