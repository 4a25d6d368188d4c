package org.lockstep.transport;

import java.io.IOException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Another JVM at the other end of a control connection. Confined to the control thread. */
final class Station {
    private final List<Integer> ranks;
    private final SocketChannel channel;
    private final Outlet out;
    private final Inlet in;
    private @Nullable SelectionKey key;
    private boolean told;
    private boolean left;
    private @Nullable String end;

    /** When it was last heard, on the clock of {@link System#nanoTime}. */
    long heard = System.nanoTime();

    /** Its silence was said in the log. */
    boolean suspected;

    /** The JVM of these ranks of the world, the lowest first. */
    Station(List<Integer> ranks, Links.Proven connection) {
        this.ranks = List.copyOf(ranks);
        this.channel = connection.channel();
        this.out = new Outlet(channel, connection.seal(), Verdict.MAX_TEXT);
        this.in = new Inlet(channel, connection.seal(), Verdict.MAX_TEXT);
    }

    void register(Selector selector) throws IOException {
        key = channel.register(selector, SelectionKey.OP_READ);
    }

    int rank() {
        return ranks.get(0);
    }

    /** As errors show it: {@code rank 5}, {@code ranks 5,6}. */
    String name() {
        return ranks.stream()
                .map(String::valueOf)
                .collect(Collectors.joining(",", ranks.size() > 1 ? "ranks " : "rank ", ""));
    }

    /**
     * Reads all that is there.
     *
     * @return the verdict that it told, if any
     */
    @Nullable
    Verdict listen() {
        try {
            while (!left && in.header(0)) {
                left = in.kind() == Frame.GOODBYE;
                if (!left && in.kind() != Frame.HEARTBEAT) {
                    throw new Inlet.Damaged("a frame of kind " + in.kind());
                }
                in.end();
            }
            if (in.isEnded() && !left) {
                lose("its control connection closed");
            }
        } catch (Failed verdict) {
            in.end();
            told = true; // it knows
            heard = System.nanoTime();
            return verdict.verdict();
        } catch (IOException failure) {
            lose("its control connection failed: " + failure.getMessage());
        } catch (Inlet.Damaged damage) {
            lose("its control connection brought " + damage.getMessage());
        }
        if (in.moved()) {
            heard = System.nanoTime();
        }
        return null;
    }

    private void lose(String how) {
        if (end == null) {
            end = how;
        }
    }

    /** How it ended, if it did without a goodbye. */
    @Nullable
    String end() {
        return left ? null : end;
    }

    boolean isOver() {
        return left || end != null;
    }

    void beat() {
        if (out.isPushed()) {
            out.begin(Frame.HEARTBEAT);
        }
    }

    /** Tells it the verdict, once. */
    void tell(Verdict verdict) {
        if (!told && out.isPushed()) {
            told = true;
            out.begin(verdict);
        }
    }

    /** Writes what can be written. */
    void push() {
        try {
            boolean all = out.push();
            SelectionKey registered = key;
            if (registered != null && registered.isValid()) {
                registered.interestOps(all ? SelectionKey.OP_READ : SelectionKey.OP_READ | SelectionKey.OP_WRITE);
            }
        } catch (IOException failure) {
            lose("its control connection failed: " + failure.getMessage());
        }
    }

    /** Ends the connection, after a goodbye or the verdict that it does not know yet. */
    void close(@Nullable Verdict verdict) {
        if (!isOver()) {
            out.lastWords(told ? null : verdict);
        }
        Sockets.closeGently(channel);
    }
}
