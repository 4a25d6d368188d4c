package org.lockstep.cli.bench;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.rendezvous.Rendezvous;
import org.lockstep.rendezvous.RendezvousException;
import org.lockstep.rendezvous.Venue;

/**
 * Meets by way of the process that started this one: the record goes up one pipe, all records come down another.
 */
final class PipeRendezvous implements Rendezvous {
    /** Before the record, on its line. */
    static final String HELLO = "hello ";

    private final int index;
    private final int size;
    private final Duration limit;
    private final BlockingQueue<String> down;
    private final Consumer<String> up;
    private final Venue venue = new Venue(); // nobody else of the meeting is in this JVM
    private final AtomicBoolean met = new AtomicBoolean();

    /** The door of a party whose lines come from {@code down} and go to {@code up}. */
    PipeRendezvous(int index, int size, Duration limit, BlockingQueue<String> down, Consumer<String> up) {
        this.index = index;
        this.size = size;
        this.limit = limit;
        this.down = down;
        this.up = up;
    }

    @Override
    public int index() {
        return index;
    }

    @Override
    public int size() {
        return size;
    }

    @Override
    public Venue venue() {
        return venue;
    }

    @Override
    public List<String> allGather(String record) {
        if (!met.compareAndSet(false, true)) {
            throw new IllegalStateException("party " + index + " came to the meeting a second time");
        }
        long deadline = System.nanoTime() + limit.toNanos();
        up.accept(HELLO + record);
        List<String> records = new ArrayList<>(size);
        try {
            while (records.size() < size) {
                String line = down.poll(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
                if (line == null) {
                    throw failed(ErrorCode.RENDEZVOUS_TIMEOUT, "not all came in " + limit.toSeconds() + " s", null);
                }
                records.add(line);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw failed(ErrorCode.RENDEZVOUS_FAILED, "interrupted", e);
        }
        return List.copyOf(records);
    }

    private RendezvousException failed(ErrorCode code, String why, @Nullable Throwable cause) {
        return new RendezvousException(
                LockstepException.report(code, "meeting of " + size + " JVMs: party " + index + ": " + why)
                        .cause(cause));
    }
}
