package org.lockstep.transport;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.lockstep.ErrorCode;
import org.lockstep.collective.ControlPlane;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.DataType;

/**
 * The header before everything on a connection: three little-endian words, the kind in bits 24 to 31 of the first. What
 * seals it comes after it, then the payload.
 *
 * <pre>
 * DATA       word of the tag            sequence    count              elements, at most {@value #CHUNK} bytes
 * MORE       0                          bytes before zero              the next elements of the same message
 * ABORT      bytes of text, code &lt;&lt; 32  group       rank, culprit &lt;&lt; 32    the text
 * GOODBYE    0                          zero        zero
 * HEARTBEAT  0                          zero        zero
 * CALL       port, all bytes &lt;&lt; 32      number      from, to &lt;&lt; 32       the next bytes, at most {@value #PARCEL}
 * ANSWER     as the CALL that it answers
 * </pre>
 *
 * <p>How many bytes follow a DATA header is not in it: the receiver knows from its own operation, whose tag must be equal.
 * A CALL or ANSWER of more bytes than a frame has comes as several, all with the same header; between them come only frames
 * without a payload, and verdicts.
 */
final class Frame {
    static final int BYTES = 24;

    /** The most bytes of elements in one frame: whole elements of every type, and well inside the second-level cache. */
    static final int CHUNK = 256 * 1024;

    /** The most bytes of a call in one frame: a heartbeat that waits for its end is not late. */
    static final int PARCEL = 16 * 1024;

    static final int DATA = 1;
    static final int MORE = 2;
    static final int ABORT = 3;
    static final int GOODBYE = 4;
    static final int HEARTBEAT = 5;
    static final int CALL = 6;
    static final int ANSWER = 7;

    // Their places in these lists are their numbers on the wire; both ends have the same version.
    private static final List<Operation> OPERATIONS = List.of(Operation.values());
    private static final List<ReduceOp.Kind> OPS = List.of(ReduceOp.Kind.values());
    private static final List<DataType> TYPES = List.of(DataType.values());

    /** Bits of {@link #word} that are the link's own. */
    static final long MARKS = 0xffL << 24;

    private Frame() {}

    /** All of a tag but its sequence and count: operation 8 · reduce op + 1 or 0 8 · type + 1 or 0 8 · marks 8 · root 32. */
    @SuppressWarnings("EnumOrdinal") // both ends have the same version
    static long word(OperationTag tag) {
        ReduceOp.Kind op = tag.op();
        DataType type = tag.type();
        return tag.operation().ordinal()
                | (op == null ? 0L : op.ordinal() + 1L) << 8
                | (type == null ? 0L : type.ordinal() + 1L) << 16
                | (long) tag.root() << 32;
    }

    /**
     * The tag of these words.
     *
     * @throws IllegalArgumentException with what they are, if they cannot be one
     */
    static OperationTag tag(long word, long sequence, long count) {
        int op = (int) (word >> 8) & 0xff;
        int type = (int) (word >> 16) & 0xff;
        return new OperationTag(
                sequence,
                pick(OPERATIONS, (int) word & 0xff, "operation"),
                op == 0 ? null : pick(OPS, op - 1, "reduce op"),
                type == 0 ? null : pick(TYPES, type - 1, "type"),
                count,
                (int) (word >> 32));
    }

    private static <T> T pick(List<T> all, int number, String what) {
        if (number < 0 || number >= all.size()) {
            throw new IllegalArgumentException("a frame of unknown " + what + " " + number);
        }
        return all.get(number);
    }

    static void put(ByteBuffer out, int kind, long word, long second, long third) {
        out.putLong(0, word | (long) kind << 24).putLong(8, second).putLong(16, third);
    }

    static int kind(ByteBuffer in, int at) {
        return in.get(at + 3) & 0xff;
    }

    /** Whether the DATA header there has this tag. */
    static boolean matches(ByteBuffer in, int at, OperationTag tag) {
        return in.getLong(at) == (word(tag) | (long) DATA << 24)
                && in.getLong(at + 8) == tag.sequence()
                && in.getLong(at + 16) == tag.count();
    }

    /** The tag of the DATA header there. */
    static OperationTag tag(ByteBuffer in, int at) {
        return tag(in.getLong(at) & ~MARKS, in.getLong(at + 8), in.getLong(at + 16));
    }

    /** The text of a verdict as it travels. */
    static byte[] text(Verdict verdict) {
        byte[] text = verdict.text().getBytes(StandardCharsets.UTF_8);
        return text.length <= Verdict.MAX_TEXT ? text : java.util.Arrays.copyOf(text, Verdict.MAX_TEXT);
    }

    static void abort(ByteBuffer out, Verdict verdict, int textBytes) {
        put(
                out,
                ABORT,
                textBytes | (long) verdict.code().number() << 32,
                verdict.group(),
                (verdict.rank() & 0xffffffffL) | (long) verdict.culprit() << 32);
    }

    /**
     * Bytes of text after the ABORT header there.
     *
     * @throws IllegalArgumentException if no verdict has so many
     */
    static int textBytes(ByteBuffer in, int at) {
        int bytes = in.getShort(at) & 0xffff;
        if (bytes > Verdict.MAX_TEXT) {
            throw new IllegalArgumentException("a verdict of " + bytes + " bytes");
        }
        return bytes;
    }

    /**
     * The verdict of the ABORT header there.
     *
     * @throws IllegalArgumentException if its code is unknown
     */
    static Verdict verdict(ByteBuffer in, int at, String text) {
        int number = in.getInt(at + 4);
        for (ErrorCode code : ErrorCode.values()) {
            if (code.number() == number) {
                return new Verdict(code, in.getInt(at + 16), in.getLong(at + 8), text, in.getInt(at + 20), null);
            }
        }
        throw new IllegalArgumentException("a verdict of unknown code " + number);
    }

    static void put(ByteBuffer out, Message.Envelope envelope) {
        put(
                out,
                envelope.answers() ? ANSWER : CALL,
                envelope.port() | (long) envelope.bytes() << 32,
                envelope.number(),
                (envelope.from() & 0xffffffffL) | (long) envelope.to() << 32);
    }

    /**
     * What the CALL or ANSWER header there says.
     *
     * @throws IllegalArgumentException if no call has so many bytes
     */
    static Message.Envelope envelope(ByteBuffer in, int at) {
        int bytes = in.getInt(at + 4);
        if (bytes < 0 || bytes > ControlPlane.MAX_BYTES) {
            throw new IllegalArgumentException("a call of " + bytes + " bytes");
        }
        return new Message.Envelope(
                kind(in, at) == ANSWER,
                in.get(at) & 0xff,
                in.getLong(at + 8),
                in.getInt(at + 16),
                in.getInt(at + 20),
                bytes);
    }
}
