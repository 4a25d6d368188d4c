package org.lockstep.transport;

import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import org.jspecify.annotations.Nullable;

/** Ends of sockets. */
final class Sockets {
    private static final int DRAIN_BYTES = 1 << 20;

    private Sockets() {}

    /** Closes what may be null or closed; there is nothing to do about a failure to close. */
    static void closeQuietly(@Nullable Closeable resource) {
        if (resource != null) {
            try {
                resource.close();
            } catch (IOException ignored) {
                // it is gone either way
            }
        }
    }

    /**
     * Closes a non-blocking channel so that its last words arrive: closing over unread bytes would reset the connection,
     * and a reset may overtake what was written.
     */
    static void closeGently(SocketChannel channel) {
        try {
            channel.shutdownOutput();
            ByteBuffer sink = ByteBuffer.allocate(8192);
            int drained = 0;
            for (int read = channel.read(sink); read > 0 && drained < DRAIN_BYTES; read = channel.read(sink)) {
                drained += read;
                sink.clear();
            }
        } catch (IOException alreadyGone) {
            // the peer was faster
        }
        closeQuietly(channel);
    }
}
