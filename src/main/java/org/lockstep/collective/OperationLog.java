package org.lockstep.collective;

import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.topology.ProcessGroup;

/**
 * What one communicator does, counted and recorded with one look at the clock. Written by the thread that is inside, read by
 * any.
 */
final class OperationLog {
    private final Map<Operation, Meter> meters = Stream.of(Operation.values())
            .collect(Collectors.toMap(
                    operation -> operation,
                    operation -> new Meter(),
                    (a, b) -> a,
                    () -> new EnumMap<>(Operation.class)));
    private final FlightRecorder recorder = new FlightRecorder();
    private Meter current = meter(Operation.BARRIER); // of who is inside; none is before the first begins

    private Meter meter(Operation operation) {
        return Objects.requireNonNull(meters.get(operation));
    }

    private Meter use(Operation operation) {
        Meter next = meter(operation);
        if (current != next) { // storing a reference costs a fence
            current = next;
        }
        return next;
    }

    /** An operation of the whole group begins, with so many bytes; when, for {@link #end}. */
    long begin(OperationTag tag, long bytes, long queued) {
        long start = use(tag.operation()).begin(bytes);
        recorder.begin(tag, queued, start);
        return start;
    }

    /** The same, where the bytes say nothing about the time; for {@link #endTimed}. */
    long beginTimed(OperationTag tag, long queued) {
        long start = use(tag.operation()).beginTimed();
        recorder.begin(tag, queued, start);
        return start;
    }

    /** A transfer begins; for {@link #end}. */
    long begin(Transfer transfer, int size, long queued) {
        long start = use(Operation.SEND).begin(transfer.buffer().bytes());
        note(transfer, size, true, queued, start);
        return start;
    }

    /** Transfers that are carried out together begin, at least one; for {@link #endTimed}. */
    long beginTimed(List<Transfer> transfers, int size, long queued) {
        long start = use(Operation.SEND).beginTimed();
        for (int i = 0; i < transfers.size(); i++) {
            note(transfers.get(i), size, i == 0, queued, start);
        }
        return start;
    }

    private void note(Transfer transfer, int size, boolean first, long queued, long start) {
        Buffer data = transfer.buffer();
        DataType type = data.type();
        recorder.transfer(transfer.sends(), type, data.length(), transfer.peer(), size, first, queued, start);
    }

    /** The transfer of an object begins; for {@link #endTimed}. */
    long beginObject(boolean sends, int peer, int size, long queued) {
        long start = use(Operation.SEND_OBJECT).beginTimed();
        @Nullable DataType none = null;
        recorder.transfer(sends, none, 0, peer, size, true, queued, start);
        return start;
    }

    void end(long bytes, long start) {
        recorder.end(current.end(bytes, start));
    }

    void endTimed(int count, long bytes, long start) {
        recorder.end(current.endTimed(count, bytes, start));
    }

    Traffic traffic() {
        return meters.values().stream().map(Meter::traffic).reduce(Traffic.NONE, Traffic::plus);
    }

    Traffic traffic(Operation operation) {
        return meter(operation).traffic();
    }

    /** As rank in group {@code me} sees it. */
    Flight flight(ProcessGroup group, int me) {
        return recorder.read(group, me);
    }
}
