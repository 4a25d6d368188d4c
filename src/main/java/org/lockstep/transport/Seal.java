package org.lockstep.transport;

import java.nio.ByteBuffer;

/**
 * What makes a damaged frame known on one connection: bytes after each header, and after each payload that is not empty.
 * One for both directions; each confined to one thread at a time.
 */
interface Seal {
    /** Bytes of a header on the wire. */
    int headerBytes();

    /** Bytes after a payload. */
    int tailBytes();

    /**
     * Seals the frame at the buffer's beginning in place, without its position and limit, which are cleared.
     *
     * @param payload bytes of it, after {@link #headerBytes}
     */
    void seal(ByteBuffer frame, int payload);

    /** Whether the header at {@code at} is as it was sealed; it is in the clear then. */
    boolean isHeaderWhole(ByteBuffer in, int at);

    /** Whether the payload after the header at {@code at} is as it was sealed; it is in the clear then. */
    boolean isPayloadWhole(ByteBuffer in, int at, int payload);

    /** Bytes on the wire of a frame with so many bytes of payload. */
    default int frameBytes(int payload) {
        return headerBytes() + payload + (payload == 0 ? 0 : tailBytes());
    }
}
