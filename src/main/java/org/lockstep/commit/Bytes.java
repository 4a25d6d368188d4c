package org.lockstep.commit;

import java.io.ByteArrayOutputStream;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * The primitives of what is written here: big-endian numbers, and strings that come back exactly as they were, also those
 * that are no Unicode. Mutable; confined to a thread.
 */
final class Bytes {
    private static final byte NULL = 0;
    private static final byte UTF_8 = 1;
    private static final byte UTF_16 = 2; // of a string with half a surrogate pair, which UTF-8 would replace

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();

    Bytes put(byte[] value) {
        out.writeBytes(value);
        return this;
    }

    Bytes put(byte value) {
        out.write(value);
        return this;
    }

    Bytes put(int value) {
        return put(ByteBuffer.allocate(Integer.BYTES).putInt(value).array());
    }

    Bytes put(long value) {
        return put(ByteBuffer.allocate(Long.BYTES).putLong(value).array());
    }

    Bytes put(@Nullable String value) {
        if (value == null) {
            return put(NULL);
        }
        try {
            ByteBuffer encoded = StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(value));
            byte[] bytes = new byte[encoded.remaining()];
            encoded.get(bytes);
            return put(UTF_8).put(bytes.length).put(bytes);
        } catch (CharacterCodingException half) {
            byte[] encoded = new byte[2 * value.length()];
            ByteBuffer.wrap(encoded).asCharBuffer().put(value);
            return put(UTF_16).put(encoded.length).put(encoded);
        }
    }

    byte[] array() {
        return out.toByteArray();
    }

    /**
     * The string at the buffer's position.
     *
     * @throws BufferUnderflowException if it ends before
     * @throws IllegalArgumentException if it is none
     */
    static @Nullable String string(ByteBuffer from) {
        byte kind = from.get();
        if (kind == NULL) {
            return null;
        }
        int length = from.getInt();
        if (length < 0 || length > from.remaining()) {
            throw new BufferUnderflowException();
        }
        byte[] bytes = new byte[length];
        from.get(bytes);
        if (kind == UTF_8) {
            return new String(bytes, StandardCharsets.UTF_8);
        }
        if (kind == UTF_16 && length % 2 == 0) {
            return ByteBuffer.wrap(bytes).asCharBuffer().toString();
        }
        throw new IllegalArgumentException("a string of kind " + kind + " and length " + length);
    }

    static int checksum(byte[] bytes, int from, int to) {
        CRC32C checksum = new CRC32C();
        checksum.update(bytes, from, to - from);
        return (int) checksum.getValue();
    }
}
