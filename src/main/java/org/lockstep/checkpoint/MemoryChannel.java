package org.lockstep.checkpoint;

import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.NonWritableChannelException;
import java.nio.channels.SeekableByteChannel;

/** Bytes in memory as a read-only channel; they are shared, not copied. Confined to one thread. */
final class MemoryChannel implements SeekableByteChannel {
    private final byte[] bytes;
    private long position;
    private boolean open = true;

    MemoryChannel(byte[] bytes) {
        this.bytes = bytes;
    }

    @Override
    public int read(ByteBuffer into) throws ClosedChannelException {
        requireOpen();
        if (position >= bytes.length) {
            return -1;
        }
        int count = Math.min(into.remaining(), bytes.length - (int) position);
        into.put(bytes, (int) position, count);
        position += count;
        return count;
    }

    @Override
    public int write(ByteBuffer from) {
        throw new NonWritableChannelException();
    }

    @Override
    public long position() throws ClosedChannelException {
        requireOpen();
        return position;
    }

    @Override
    public SeekableByteChannel position(long to) throws ClosedChannelException {
        requireOpen();
        if (to < 0) {
            throw new IllegalArgumentException("position " + to);
        }
        position = to;
        return this;
    }

    @Override
    public long size() throws ClosedChannelException {
        requireOpen();
        return bytes.length;
    }

    @Override
    public SeekableByteChannel truncate(long size) {
        throw new NonWritableChannelException();
    }

    private void requireOpen() throws ClosedChannelException {
        if (!open) {
            throw new ClosedChannelException();
        }
    }

    @Override
    public boolean isOpen() {
        return open;
    }

    @Override
    public void close() {
        open = false;
    }
}
