package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

/** What a connected socket is set to. */
@EnabledOnOs(OS.LINUX)
class SocketsTest {
    @Test
    void toItsOwnAddressASocketTakesOneFrame() throws IOException {
        try (ServerSocketChannel server = listen();
                SocketChannel channel = SocketChannel.open(server.getLocalAddress())) {
            Sockets.tune(channel);
            assertThat(channel.getOption(StandardSocketOptions.TCP_NODELAY)).isTrue();
            assertThat(channel.getOption(StandardSocketOptions.SO_SNDBUF))
                    .isBetween(Frame.CHUNK, 2 * Frame.CHUNK); // Linux tells twice what it was told
        }
    }

    /** Linux answers on all of 127.0.0.0/8; a size once set is never grown, so a socket to elsewhere must not have one. */
    @Test
    void toAnotherAddressTheKernelFindsTheSize() throws IOException {
        try (ServerSocketChannel server = listen();
                SocketChannel channel = SocketChannel.open()) {
            channel.bind(new InetSocketAddress("127.0.0.2", 0));
            channel.connect(server.getLocalAddress());
            int before = channel.getOption(StandardSocketOptions.SO_SNDBUF);
            Sockets.tune(channel);
            assertThat(channel.getOption(StandardSocketOptions.TCP_NODELAY)).isTrue();
            assertThat(channel.getOption(StandardSocketOptions.SO_SNDBUF)).isEqualTo(before);
        }
    }

    private static ServerSocketChannel listen() throws IOException {
        return ServerSocketChannel.open().bind(new InetSocketAddress("127.0.0.1", 0));
    }
}
