package org.lockstep.checkpoint;

import java.io.IOException;
import java.io.InputStream;

/**
 * The JSON bytes at the front of a stream. A single string or number that is absurdly long ends it with an error, before
 * a parser has gathered it in memory: the limits of parsers come after the fact. Confined to one thread.
 */
final class HeaderStream extends InputStream {
    private static final int MAX_STRING = 4 << 20;
    private static final int MAX_WORD = 1 << 10;

    private final InputStream in;
    private long left;
    private boolean inString;
    private boolean escaped;
    private int run;

    HeaderStream(InputStream in, long length) {
        this.in = in;
        this.left = length;
    }

    @Override
    public int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(byte[] into, int offset, int count) throws IOException {
        if (left <= 0 && count > 0) {
            return -1;
        }
        int read = in.read(into, offset, (int) Math.min(count, left));
        for (int i = 0; i < read; i++) {
            look(into[offset + i]);
        }
        left -= Math.max(read, 0);
        return read;
    }

    private void look(byte b) throws IOException {
        run++;
        if (inString) {
            if (escaped) {
                escaped = false;
            } else if (b == '\\') {
                escaped = true;
            } else if (b == '"') {
                inString = false;
                run = 0;
            }
        } else if (b == '"') {
            inString = true;
            run = 0;
        } else if (b <= ' ' || b == ',' || b == ':' || b == '[' || b == ']' || b == '{' || b == '}') {
            run = 0;
        }
        if (run > (inString ? MAX_STRING : MAX_WORD)) {
            throw new Json.MalformedException(
                    inString
                            ? "a string has more than " + MAX_STRING + " bytes"
                            : "a word has more than " + MAX_WORD + " bytes");
        }
    }
}
