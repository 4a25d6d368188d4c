package org.lockstep.transport;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.DataType;

/**
 * The 32 bytes before everything on a connection, little-endian.
 *
 * <pre>
 * DATA     kind 1 · operation 1 · reduce op + 1 or 0 · type + 1 or 0 · root 4 · sequence 8 · count 8 · zero 8
 * ABORT    kind 1 · zero 1 · bytes of text 2 · code 4 · group 8 · rank 4 · culprit 4 · zero 8      then the text
 * GOODBYE  kind 1 · zero 31
 * </pre>
 *
 * <p>How many bytes follow a DATA header is not in it: the receiver knows from its own operation, whose tag must be equal.
 */
final class Frame {
    static final int BYTES = 32;

    private static final byte DATA = 1;
    private static final byte ABORT = 2;
    private static final byte GOODBYE = 3;

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

    /** What a header says: exactly one of a tag, a verdict whose text follows, or nothing for a goodbye. */
    record Header(@Nullable OperationTag tag, @Nullable Verdict verdict, int textBytes) {
        boolean isGoodbye() {
            return tag == null && verdict == null;
        }
    }

    static void data(ByteBuffer out, OperationTag tag) {
        out.put(DATA)
                .put((byte) OPERATIONS.indexOf(tag.operation()))
                .put((byte) (tag.op() == null ? 0 : OPS.indexOf(tag.op()) + 1))
                .put((byte) (tag.type() == null ? 0 : TYPES.indexOf(tag.type()) + 1))
                .putInt(tag.root())
                .putLong(tag.sequence())
                .putLong(tag.count())
                .putLong(0);
    }

    /** Header and text of a verdict. */
    static void abort(ByteBuffer out, Verdict verdict) {
        byte[] text = verdict.text().getBytes(StandardCharsets.UTF_8);
        int length = Math.min(text.length, Verdict.MAX_TEXT);
        out.put(ABORT)
                .put((byte) 0)
                .putShort((short) length)
                .putInt(verdict.code().number())
                .putLong(verdict.group())
                .putInt(verdict.rank())
                .putInt(verdict.culprit())
                .putLong(0)
                .put(text, 0, length);
    }

    static void goodbye(ByteBuffer out) {
        out.put(GOODBYE).put(new byte[BYTES - 1]);
    }

    /**
     * The header in the next {@link #BYTES}.
     *
     * @throws IllegalArgumentException with what it is, if it cannot be one
     */
    static Header read(ByteBuffer in) {
        byte kind = in.get();
        return switch (kind) {
            case DATA -> new Header(tag(in), null, 0);
            case ABORT -> abort(in);
            case GOODBYE -> new Header(null, null, 0);
            default -> throw new IllegalArgumentException("a frame of kind " + kind);
        };
    }

    private static OperationTag tag(ByteBuffer in) {
        Operation operation = pick(OPERATIONS, in.get(), "operation");
        byte op = in.get();
        byte type = in.get();
        int root = in.getInt();
        long sequence = in.getLong();
        long count = in.getLong();
        return new OperationTag(
                sequence,
                operation,
                op == 0 ? null : pick(OPS, op - 1, "reduce op"),
                type == 0 ? null : pick(TYPES, type - 1, "type"),
                count,
                root);
    }

    private static <T> T pick(List<T> all, int number, String what) {
        if (number < 0 || number >= all.size()) {
            throw new IllegalArgumentException("a frame of unknown " + what + " " + number);
        }
        return all.get(number);
    }

    private static Header abort(ByteBuffer in) {
        in.get();
        int length = in.getShort();
        int number = in.getInt();
        long group = in.getLong();
        int rank = in.getInt();
        int culprit = in.getInt();
        if (length < 0 || length > Verdict.MAX_TEXT) {
            throw new IllegalArgumentException("a verdict of " + length + " bytes");
        }
        for (ErrorCode code : ErrorCode.values()) {
            if (code.number() == number) {
                return new Header(null, new Verdict(code, rank, group, "", culprit, null), length);
            }
        }
        throw new IllegalArgumentException("a verdict of unknown code " + number);
    }
}
