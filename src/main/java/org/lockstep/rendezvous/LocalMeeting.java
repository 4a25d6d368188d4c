package org.lockstep.rendezvous;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/** The one all-gather of a {@link LocalWorld}. Thread-safe. */
final class LocalMeeting {
    private final long deadline;
    private final @Nullable String[] records;
    private final boolean[] left;
    private int came;
    private @Nullable String failed;
    private @Nullable Throwable cause;

    /** A meeting that ends at {@code deadline} on the clock of {@link System#nanoTime}. */
    LocalMeeting(int parties, long deadline) {
        this.deadline = deadline;
        this.records = new @Nullable String[parties];
        this.left = new boolean[parties];
    }

    Door door(int index, Venue venue) {
        return new Door(this, index, venue);
    }

    /** A party ended, with or without a failure: who waits for its record need not wait any longer. */
    synchronized void leave(int index, @Nullable Throwable failure) {
        left[index] = true;
        if (records[index] == null && failed == null) {
            failed = "party " + index
                    + (failure == null ? " ended without coming to the meeting" : " failed before it came: " + failure);
            cause = failure;
        }
        notifyAll();
    }

    private synchronized List<String> gather(int index, String record) {
        if (records[index] != null) {
            throw new IllegalStateException("party " + index + " came to the meeting a second time");
        }
        records[index] = record;
        came++;
        notifyAll();
        while (came < records.length) {
            if (failed != null) {
                throw new RendezvousException(LockstepException.report(
                                ErrorCode.RENDEZVOUS_FAILED, "meeting of " + records.length + " parties: " + failed)
                        .cause(cause));
            }
            long millis = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
            if (millis <= 0) {
                throw new RendezvousException(LockstepException.report(
                                ErrorCode.RENDEZVOUS_TIMEOUT,
                                "meeting of " + records.length + " parties: " + absent() + " did not come in time")
                        .attempt("LocalWorld.withDeadline(…) if a party is legitimately slow"));
            }
            try {
                wait(millis);
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
                throw new RendezvousException(LockstepException.report(
                                ErrorCode.RENDEZVOUS_FAILED, "party " + index + " was interrupted in the meeting")
                        .cause(interrupted));
            }
        }
        List<String> all = new ArrayList<>(records.length);
        for (String each : records) {
            if (each != null) { // all of them are, by the loop above
                all.add(each);
            }
        }
        return List.copyOf(all);
    }

    private String absent() {
        List<String> names = new ArrayList<>();
        for (int i = 0; i < records.length; i++) {
            if (records[i] == null) {
                names.add(Integer.toString(i));
            }
        }
        return "parties " + String.join(",", names);
    }

    static String seconds(Duration duration) {
        return String.format(Locale.ROOT, "%.1f s", duration.toNanos() / 1e9);
    }

    @Override
    public synchronized String toString() {
        return "LocalMeeting" + Arrays.toString(left) + " " + came + " came";
    }

    /** One party's way in. */
    static final class Door implements Rendezvous {
        private final LocalMeeting meeting;
        private final int index;
        private final Venue venue;

        private Door(LocalMeeting meeting, int index, Venue venue) {
            this.meeting = meeting;
            this.index = index;
            this.venue = venue;
        }

        @Override
        public int index() {
            return index;
        }

        @Override
        public int size() {
            return meeting.records.length;
        }

        @Override
        public Venue venue() {
            return venue;
        }

        @Override
        public List<String> allGather(String record) {
            return meeting.gather(index, record);
        }
    }
}
