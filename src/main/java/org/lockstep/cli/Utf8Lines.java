package org.lockstep.cli;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.StandardCharsets;
import java.util.Iterator;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * The lines of a file as text: one that is not UTF-8 is told by its number, where a decoder of its own accord would put question
 * marks into the prompts. Confined to one thread.
 *
 * <p>A byte order mark, which some editors put first in a file, is no part of it; further below it is.
 */
final class Utf8Lines implements Iterator<String> {
    private static final String MARK = "\uFEFF";

    private final String file;
    private final Iterator<byte[]> lines;
    private final CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder(); // which reports what is malformed
    private int number;

    /**
     * Has read nothing.
     *
     * @param file for messages
     * @param lines without what ends them
     */
    Utf8Lines(String file, Iterator<byte[]> lines) {
        this.file = file;
        this.lines = lines;
    }

    @Override
    public boolean hasNext() {
        return lines.hasNext();
    }

    /** @throws LockstepException USAGE naming the file and the line */
    @Override
    public String next() {
        byte[] line = lines.next();
        number++;
        try {
            String text = decoder.decode(ByteBuffer.wrap(line)).toString();
            return number == 1 && text.startsWith(MARK) ? text.substring(MARK.length()) : text;
        } catch (CharacterCodingException e) {
            throw LockstepException.report(
                            ErrorCode.USAGE,
                            "cannot read the prompts in " + file + ": line " + number + " is not UTF-8")
                    .attempt("iconv -f ENCODING -t UTF-8, or another file: text, .jsonl and their like are UTF-8")
                    .cause(e)
                    .exception();
        }
    }
}
