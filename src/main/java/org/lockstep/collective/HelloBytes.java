package org.lockstep.collective;

import java.io.ByteArrayOutputStream;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.UUID;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** The primitives of a {@link Hello}'s bytes: big-endian, small numbers in seven-bit groups, short strings by length. */
final class HelloBytes {
    private static final Pattern IPV4 = Pattern.compile("\\d+\\.\\d+\\.\\d+\\.\\d+");

    private HelloBytes() {}

    /** Grows as it is written; no number is negative unless it has a fixed width. */
    static final class Writer {
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream(256);

        Writer octet(int value) {
            bytes.write(value);
            return this;
        }

        Writer fixed(long value, int width) {
            for (int shift = (width - 1) * 8; shift >= 0; shift -= 8) {
                bytes.write((int) (value >>> shift));
            }
            return this;
        }

        Writer number(int value) {
            int rest = value;
            while ((rest & ~0x7f) != 0) {
                bytes.write((rest & 0x7f) | 0x80);
                rest >>>= 7;
            }
            bytes.write(rest);
            return this;
        }

        Writer uuid(UUID value) {
            return fixed(value.getMostSignificantBits(), 8).fixed(value.getLeastSignificantBits(), 8);
        }

        Writer text(String value) {
            byte[] utf8 = value.getBytes(StandardCharsets.UTF_8);
            return octet(utf8.length).raw(utf8);
        }

        Writer address(String literal) {
            byte[] raw = parse(literal).getAddress();
            return octet(raw.length).raw(raw);
        }

        Writer raw(byte[] value) {
            bytes.writeBytes(value);
            return this;
        }

        byte[] toBytes() {
            return bytes.toByteArray();
        }
    }

    /** The bytes that {@link Writer#number} takes for a value. */
    static int numberSize(int value) {
        return (38 - Integer.numberOfLeadingZeros(value | 1)) / 7;
    }

    /** Throws IllegalArgumentException, with the reason, at the first byte that cannot be. */
    static final class Reader {
        private final ByteBuffer bytes;

        Reader(byte[] bytes, int length) {
            this.bytes = ByteBuffer.wrap(bytes, 0, length);
        }

        int remaining() {
            return bytes.remaining();
        }

        private void require(int count) {
            if (bytes.remaining() < count) {
                throw new IllegalArgumentException("it ends " + (count - bytes.remaining()) + " bytes early");
            }
        }

        int octet() {
            require(1);
            return bytes.get() & 0xff;
        }

        long fixed(int width) {
            require(width);
            long value = 0;
            for (int i = 0; i < width; i++) {
                value = value << 8 | (bytes.get() & 0xff);
            }
            return value;
        }

        int number() {
            long value = 0;
            for (int shift = 0; shift < 35; shift += 7) {
                int part = octet();
                value |= (long) (part & 0x7f) << shift;
                if (part < 0x80) {
                    if (value > Integer.MAX_VALUE) {
                        throw new IllegalArgumentException("a number (" + value + ") is too large");
                    }
                    return (int) value;
                }
            }
            throw new IllegalArgumentException("a number has more than five bytes");
        }

        UUID uuid() {
            return new UUID(fixed(8), fixed(8));
        }

        String text(int most) {
            int length = octet();
            if (length == 0 || length > most) {
                throw new IllegalArgumentException("a text has " + length + " bytes, not 1.." + most);
            }
            try {
                return StandardCharsets.UTF_8
                        .newDecoder()
                        .decode(ByteBuffer.wrap(raw(length)))
                        .toString();
            } catch (CharacterCodingException broken) {
                throw new IllegalArgumentException("a text is not UTF-8", broken);
            }
        }

        String address() {
            int length = octet();
            if (length != 4 && length != 16) {
                throw new IllegalArgumentException("an address has " + length + " bytes, not 4 or 16");
            }
            try {
                return InetAddress.getByAddress(raw(length)).getHostAddress();
            } catch (UnknownHostException impossible) {
                throw new IllegalArgumentException("not an address", impossible);
            }
        }

        byte[] raw(int length) {
            require(length);
            byte[] value = new byte[length];
            bytes.get(value);
            return value;
        }
    }

    /**
     * The address of a literal, never by asking a name server.
     *
     * @throws IllegalArgumentException if it is a name
     */
    static InetAddress parse(@Nullable String literal) {
        boolean numeric = literal != null
                && (literal.indexOf(':') >= 0 || IPV4.matcher(literal).matches());
        try {
            if (numeric) {
                return InetAddress.getByName(literal);
            }
        } catch (UnknownHostException notOne) {
            throw new IllegalArgumentException("'" + literal + "' is not an IP address", notOne);
        }
        throw new IllegalArgumentException("'" + literal + "' is not an IP address");
    }

    /** {@code text} if it has at most {@code most} bytes, else its beginning and a hash of all of it. */
    static String fit(String text, int most) {
        if (text.getBytes(StandardCharsets.UTF_8).length <= most) {
            return text;
        }
        String mark = String.format("~%08x", text.hashCode()).substring(0, Math.min(9, most / 2));
        int end = text.length();
        while (text.substring(0, end).getBytes(StandardCharsets.UTF_8).length > most - mark.length()) {
            end--;
        }
        if (end > 0 && Character.isHighSurrogate(text.charAt(end - 1))) {
            end--;
        }
        return text.substring(0, end) + mark;
    }
}
