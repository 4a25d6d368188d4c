package org.lockstep.transport;

import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;

/**
 * A bad network before one rank's door: passes bytes on both ways, and does to them what a test wants.
 */
public final class ChaosProxy implements AutoCloseable {
    /** What happens to the connections that a test means. */
    public interface Chaos {
        /** Passes {@code bytes} on, of which {@code before} went the same way earlier. */
        void pass(Way way, long before, byte[] bytes, Wire wire) throws IOException, InterruptedException;

        /** Whether it happens to control connections, and whether to the others. */
        default boolean means(boolean control) {
            return !control;
        }

        /** What happens to one connection; by default this, if it is meant. */
        default Chaos on(Ends ends) {
            return means(ends.control()) ? this : (way, before, bytes, wire) -> wire.write(bytes, 0, bytes.length);
        }
    }

    /** Whose connection it is: the rank that called, the one whose door it came to, and whether it is a control connection. */
    public record Ends(int caller, int door, boolean control) {}

    /** One direction of one connection. */
    public enum Way {
        TO_DOOR,
        FROM_DOOR
    }

    /** Where bytes go on. */
    public interface Wire {
        void write(byte[] bytes, int from, int count) throws IOException;

        /** Ends the connection in order. */
        void end() throws IOException;

        /** Ends it with a reset. */
        void reset() throws IOException;

        /** Nothing more goes through, and the connection stays. */
        void freeze() throws InterruptedException;
    }

    private static final int RECORDED = 4 << 20; // bytes

    /** Bytes of the proof of identity that go each way before any frame. */
    public static final int GREETING = 96;

    private final ServerSocket door;
    private final InetAddress target;
    private final int port;
    private final Chaos chaos;
    private final List<Socket> sockets = new CopyOnWriteArrayList<>();
    private final CountDownLatch closed = new CountDownLatch(1);
    private final ByteArrayOutputStream record = new ByteArrayOutputStream();
    private final Queue<Throwable> surprises = new ConcurrentLinkedQueue<>();

    public ChaosProxy(InetAddress target, int port, Chaos chaos) throws IOException {
        this.target = target;
        this.port = port;
        this.chaos = chaos;
        this.door = new ServerSocket(0, 100, target);
        start(this::accept);
    }

    public int port() {
        return door.getLocalPort();
    }

    /** The beginning of what went through, greetings included. */
    byte[] record() {
        synchronized (record) {
            return record.toByteArray();
        }
    }

    private interface Body {
        void run() throws IOException, InterruptedException;
    }

    private void start(Body body) {
        Thread thread = new Thread(() -> {
            try {
                body.run();
            } catch (IOException | InterruptedException over) {
                // one end has gone
            } catch (RuntimeException failure) {
                surprises.add(failure);
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    private void accept() throws IOException {
        while (true) {
            Socket in = door.accept();
            in.setTcpNoDelay(true);
            Socket out = new Socket(target, port);
            out.setTcpNoDelay(true);
            sockets.add(in);
            sockets.add(out);
            start(() -> {
                byte[] hello = new byte[Handshake.HELLO_BYTES];
                new DataInputStream(in.getInputStream()).readFully(hello);
                ByteBuffer words = ByteBuffer.wrap(hello);
                Ends ends = new Ends(words.getInt(32), words.getInt(36), words.getLong(24) == Control.GROUP);
                out.getOutputStream().write(hello);
                Chaos mine = chaos.on(ends);
                start(() -> pump(Way.FROM_DOOR, out, in, 0, mine));
                pump(Way.TO_DOOR, in, out, hello.length, mine);
            });
        }
    }

    private void pump(Way way, Socket from, Socket to, long already, Chaos mine)
            throws IOException, InterruptedException {
        InputStream in = from.getInputStream();
        OutputStream out = to.getOutputStream();
        Wire wire = new Wire() {
            @Override
            public void write(byte[] bytes, int start, int count) throws IOException {
                synchronized (record) {
                    record.write(bytes, start, Math.min(count, Math.max(0, RECORDED - record.size())));
                }
                out.write(bytes, start, count);
            }

            @Override
            public void end() throws IOException {
                from.close();
                to.close();
            }

            @Override
            public void reset() throws IOException {
                to.setSoLinger(true, 0);
                from.setSoLinger(true, 0);
                end();
            }

            @Override
            public void freeze() throws InterruptedException {
                closed.await();
            }
        };
        byte[] buffer = new byte[64 * 1024];
        long before = already;
        for (int read = in.read(buffer); read > 0; read = in.read(buffer)) {
            byte[] bytes = java.util.Arrays.copyOf(buffer, read);
            mine.pass(way, before, bytes, wire);
            before += read;
        }
        try {
            to.shutdownOutput();
        } catch (SocketException gone) {
            // already
        }
    }

    @Override
    public void close() throws IOException {
        closed.countDown();
        door.close();
        for (Socket socket : sockets) {
            socket.close();
        }
        if (!surprises.isEmpty()) {
            throw new IllegalStateException(surprises.remove());
        }
    }
}
