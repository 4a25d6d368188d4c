package org.lockstep.commit;

import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * Rows as bytes.
 *
 * <pre>
 * "LOCKSTEP" version(4) run(8) checksum(4)                        of what is before
 * { length(4) checksum(4) id(8) promptTokens(4) outputTokens(4) text finishReason error }
 * 0(4) count(4) checksum(4)                                       of all that is before
 * </pre>
 *
 * Checksums are CRC32C. Each record has its own, so that of a segment that breaks off, or has a bad byte, the records before
 * that place are good.
 *
 * @param rows those that pass
 * @param whole whether the end is there and nothing is wrong
 */
record Segment(List<CommittedRow> rows, boolean whole) {
    private static final long MAGIC = 0x4c4f434b53544550L; // LOCKSTEP
    private static final int VERSION = 1;
    private static final int HEAD = Long.BYTES + Integer.BYTES + Long.BYTES;
    private static final int SMALLEST = Long.BYTES + 2 * Integer.BYTES + 3;

    /**
     * Of these rows of a run.
     *
     * @param run what names it
     */
    static byte[] encode(long run, List<CommittedRow> rows) {
        Bytes all = new Bytes().put(MAGIC).put(VERSION).put(run);
        all.put(Bytes.checksum(all.array(), 0, HEAD));
        for (CommittedRow row : rows) {
            byte[] record = new Bytes()
                    .put(row.id())
                    .put(row.promptTokens())
                    .put(row.outputTokens())
                    .put(row.text())
                    .put(row.finishReason())
                    .put(row.error())
                    .array();
            all.put(record.length).put(Bytes.checksum(record, 0, record.length)).put(record);
        }
        all.put(0).put(rows.size());
        byte[] body = all.array();
        return all.put(Bytes.checksum(body, 0, body.length)).array();
    }

    /** Of bytes that may be anything: of another run, version or kind, torn, changed. Never throws for what they hold. */
    static Segment decode(long run, byte[] bytes) {
        List<CommittedRow> rows = new ArrayList<>();
        ByteBuffer all = ByteBuffer.wrap(bytes);
        if (bytes.length < HEAD + Integer.BYTES
                || all.getLong() != MAGIC
                || all.getInt() != VERSION
                || all.getLong() != run
                || all.getInt() != Bytes.checksum(bytes, 0, HEAD)) {
            return new Segment(List.of(), false);
        }
        while (all.remaining() >= 2 * Integer.BYTES) {
            int length = all.getInt();
            if (length == 0) {
                boolean whole = all.remaining() == 2 * Integer.BYTES
                        && all.getInt() == rows.size()
                        && Bytes.checksum(bytes, 0, all.position()) == all.getInt();
                return new Segment(List.copyOf(rows), whole);
            }
            int checksum = all.getInt();
            if (length < SMALLEST
                    || length > all.remaining()
                    || Bytes.checksum(bytes, all.position(), all.position() + length) != checksum) {
                break;
            }
            try {
                rows.add(row(all.slice(all.position(), length)));
            } catch (BufferUnderflowException | IllegalArgumentException other) {
                break; // of a writer that is not ours, though its checksum is right
            }
            all.position(all.position() + length);
        }
        return new Segment(List.copyOf(rows), false);
    }

    private static CommittedRow row(ByteBuffer record) {
        long id = record.getLong();
        int promptTokens = record.getInt();
        int outputTokens = record.getInt();
        CommittedRow row = new CommittedRow(
                id, Bytes.string(record), Bytes.string(record), promptTokens, outputTokens, Bytes.string(record));
        if (id < 0 || promptTokens < 0 || outputTokens < 0 || record.hasRemaining()) {
            throw new IllegalArgumentException("no row of ours");
        }
        return row;
    }
}
