package org.lockstep.transport;

import java.io.Closeable;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.channels.UnsupportedAddressTypeException;
import org.jspecify.annotations.Nullable;

/** How sockets begin, and how they end. */
final class Sockets {
    private static final int DRAIN_BYTES = 1 << 20;

    private Sockets() {}

    /**
     * Sets what the frames of a connected channel want: small ones do not wait for more, and to its own address the socket
     * takes one frame. There is no way to fill there, and a congestion control that paces, as BBR does, takes what piles up in
     * the socket for the speed of the link: with room for megabytes an all-reduce of 1 MiB took 1.7 times as long, and
     * so did a broadcast. To other addresses the kernel finds how much is on its way.
     */
    static void tune(SocketChannel channel) throws IOException {
        channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
        if (channel.getLocalAddress() instanceof InetSocketAddress here
                && channel.getRemoteAddress() instanceof InetSocketAddress there
                && here.getAddress().equals(there.getAddress())) {
            channel.setOption(StandardSocketOptions.SO_SNDBUF, Frame.CHUNK);
        }
    }

    /** Why a socket could not be bound or connected, for errors: the exception of an address of an unknown kind has no words. */
    static String reason(Exception failure) {
        return failure instanceof UnsupportedAddressTypeException
                ? "this JVM uses no addresses of its kind (see java.net.preferIPv4Stack)"
                : String.valueOf(failure.getMessage());
    }

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
