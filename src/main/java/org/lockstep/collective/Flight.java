package org.lockstep.collective;

import java.io.Serializable;
import java.util.List;
import java.util.Optional;
import org.lockstep.topology.ProcessGroup;

/**
 * The last operations of one rank in one group, oldest first: what a failure is explained by. Immutable.
 *
 * @param group whose communicator it was
 * @param rank in the world
 * @param operations that the communicator ever began; the last of them are the {@code entries}
 * @param entries at most 256
 */
public record Flight(ProcessGroup group, int rank, long operations, List<Entry> entries) implements Serializable {
    public Flight {
        entries = List.copyOf(entries);
    }

    /**
     * One operation. Times are nanoseconds since 1970 by the rank's own clock; of operations under 4 KiB the clock is read
     * for one in 16, and the times of the others are those of the reading before.
     *
     * @param tag as the peers must have it too; a transfer's carries the number among those of its pair of ranks
     * @param peer rank in group that a transfer is with; -1 for what the whole group does
     * @param receives whether it is the receiving end of a transfer
     * @param thread by name
     * @param queued when it was asked for; not before {@code started} only where it was queued
     * @param started when it began
     * @param ended when it was complete, in the queue of its device where it was called on a device's buffers; 0 if it is not,
     *     or failed
     */
    public record Entry(
            OperationTag tag, int peer, boolean receives, String thread, long queued, long started, long ended)
            implements Serializable {
        private Entry asUnderWay() {
            return new Entry(tag, peer, receives, thread, queued, started, 0);
        }

        public boolean isComplete() {
            return ended != 0;
        }

        /** Whether the whole group does it. */
        public boolean isCollective() {
            return peer < 0;
        }

        /** As errors show it: {@code all_reduce #12 sum f32[1000]}, {@code receive #3 f32[4] from 1}. */
        @Override
        public String toString() {
            return receives ? tag.asExpected(peer) : tag.toString();
        }
    }

    /** This flight, where operations with these tags are not complete, though their call has returned. */
    Flight withUnderWay(List<OperationTag> tags) {
        return tags.isEmpty()
                ? this
                : new Flight(
                        group,
                        rank,
                        operations,
                        entries.stream()
                                .map(entry -> tags.contains(entry.tag()) ? entry.asUnderWay() : entry)
                                .toList());
    }

    /** The last operation of the whole group. */
    public Optional<Entry> lastCollective() {
        return entries.stream().filter(Entry::isCollective).reduce((before, after) -> after);
    }

    /** What began and is not complete; several where transfers are carried out together. */
    public List<Entry> underWay() {
        return entries.stream().filter(entry -> !entry.isComplete()).toList();
    }
}
