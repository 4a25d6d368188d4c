package org.lockstep.commit;

import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** A few strings as bytes with a checksum: what the small files of a directory hold. */
final class Note {
    private static final int MAGIC = 0x4c4b4e54; // LKNT
    private static final int VERSION = 1;

    private Note() {}

    static byte[] encode(List<String> strings) {
        Bytes all = new Bytes().put(MAGIC).put(VERSION).put(strings.size());
        strings.forEach(all::put);
        byte[] body = all.array();
        return all.put(Bytes.checksum(body, 0, body.length)).array();
    }

    /** The strings; empty if these bytes are no note, or not a whole one. */
    static Optional<List<String>> decode(byte[] bytes) {
        int end = bytes.length - Integer.BYTES;
        ByteBuffer all = ByteBuffer.wrap(bytes);
        if (end < 3 * Integer.BYTES || all.getInt(end) != Bytes.checksum(bytes, 0, end)) {
            return Optional.empty();
        }
        if (all.getInt() != MAGIC || all.getInt() != VERSION) {
            return Optional.empty();
        }
        int count = all.getInt();
        List<String> strings = new ArrayList<>();
        try {
            for (int i = 0; i < count; i++) {
                String next = Bytes.string(all);
                if (next == null) {
                    return Optional.empty();
                }
                strings.add(next);
            }
        } catch (BufferUnderflowException | IllegalArgumentException torn) {
            return Optional.empty();
        }
        return all.position() == end ? Optional.of(List.copyOf(strings)) : Optional.empty();
    }
}
