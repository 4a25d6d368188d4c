package org.lockstep.transport;

import java.nio.ByteBuffer;
import java.util.zip.CRC32C;

/** Against accidents: the CRC32C of the payload in each header, then that of the header itself. */
final class CrcSeal implements Seal {
    private static final int PAYLOAD_CRC = Frame.BYTES;
    private static final int HEADER_CRC = PAYLOAD_CRC + 4;

    private final CRC32C out = new CRC32C();
    private final CRC32C in = new CRC32C();

    @Override
    public int headerBytes() {
        return HEADER_CRC + 4;
    }

    @Override
    public int tailBytes() {
        return 0;
    }

    @Override
    public void seal(ByteBuffer frame, int payload) {
        frame.putInt(PAYLOAD_CRC, crc(out, frame, HEADER_CRC + 4, payload));
        frame.putInt(HEADER_CRC, crc(out, frame, 0, HEADER_CRC));
    }

    @Override
    public boolean isHeaderWhole(ByteBuffer buffer, int at) {
        return buffer.getInt(at + HEADER_CRC) == crc(in, buffer, at, HEADER_CRC);
    }

    @Override
    public boolean isPayloadWhole(ByteBuffer buffer, int at, int payload) {
        return buffer.getInt(at + PAYLOAD_CRC) == crc(in, buffer, at + HEADER_CRC + 4, payload);
    }

    private static int crc(CRC32C crc, ByteBuffer buffer, int from, int count) {
        if (count == 0) {
            return 0;
        }
        crc.reset();
        crc.update(buffer.limit(from + count).position(from));
        buffer.clear();
        return (int) crc.getValue();
    }
}
