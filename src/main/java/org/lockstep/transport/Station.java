package org.lockstep.transport;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Another JVM at the other end of a control connection. Confined to the control thread. */
final class Station {
    private static final int TURN = 64; // frames in one go

    private final List<Integer> ranks;
    private final SocketChannel channel;
    private final Outlet out;
    private final Inlet in;
    private final Deque<Message> outbox = new ArrayDeque<>();
    private int sent; // bytes of its first
    private @Nullable Incoming incoming;
    private @Nullable SelectionKey key;
    private @Nullable Verdict verdict; // that it is to be told
    private boolean told;
    private boolean beats;
    private boolean busy;
    private boolean left;
    private @Nullable String end;
    private boolean wrong;

    /** When it was last heard, on the clock of {@link System#nanoTime}. */
    long heard = System.nanoTime();

    /** Its silence was said in the log. */
    boolean suspected;

    /** A message whose last bytes are not here. */
    private record Incoming(Message.Envelope envelope, ByteArrayOutputStream content) {
        int missing() {
            return envelope.bytes() - content.size();
        }
    }

    /** The JVM of these ranks of the world, the lowest first. */
    Station(List<Integer> ranks, Links.Proven connection) {
        this.ranks = List.copyOf(ranks);
        this.channel = connection.channel();
        this.out = new Outlet(channel, connection.seal(), Frame.PARCEL);
        this.in = new Inlet(channel, connection.seal(), Frame.PARCEL);
    }

    void register(Selector selector) throws IOException {
        key = channel.register(selector, SelectionKey.OP_READ);
    }

    int rank() {
        return ranks.get(0);
    }

    List<Integer> ranks() {
        return ranks;
    }

    /** As errors show it: {@code rank 5}, {@code ranks 5,6}. */
    String name() {
        return ranks.stream()
                .map(String::valueOf)
                .collect(Collectors.joining(",", ranks.size() > 1 ? "ranks " : "rank ", ""));
    }

    /** Whether it is the JVM of this rank. */
    boolean has(int rank) {
        return ranks.contains(rank);
    }

    /**
     * Reads what is there, or as much of it as leaves time for the others.
     *
     * @param taker of each message, once it is whole
     * @return the verdict that it told, if any
     */
    @Nullable
    Verdict listen(Consumer<Message> taker) {
        try {
            int frames = 0;
            while (!isOver() && frames < TURN && in.header(0)) {
                int kind = in.kind();
                if (kind == Frame.CALL || kind == Frame.ANSWER) {
                    if (!isTaken(taker)) {
                        break;
                    }
                } else if (kind == Frame.GOODBYE) {
                    left = true;
                } else if (kind != Frame.HEARTBEAT) {
                    throw new Inlet.Damaged("a frame of kind " + kind);
                }
                in.end();
                frames++;
            }
            busy = frames == TURN;
            if (in.isEnded() && !left) {
                lose("is gone, its control connection closed");
            }
        } catch (Failed failed) {
            in.end();
            told = true; // it knows
            heard = System.nanoTime();
            return failed.verdict();
        } catch (IOException failure) {
            lose("is gone, its control connection failed: " + failure.getMessage());
        } catch (Inlet.Damaged damage) {
            refuse(String.valueOf(damage.getMessage()));
        }
        if (in.moved()) {
            heard = System.nanoTime();
        }
        return null;
    }

    /** Takes the parcel at the head, if all of it is here. */
    private boolean isTaken(Consumer<Message> taker) throws IOException, Inlet.Damaged {
        Message.Envelope envelope = in.envelope();
        Incoming whole = incoming;
        if (whole == null) {
            whole = new Incoming(envelope, new ByteArrayOutputStream());
            incoming = whole;
        } else if (!whole.envelope.equals(envelope)) {
            throw new Inlet.Damaged("a call in the middle of another");
        }
        byte[] parcel = in.payload(Math.min(whole.missing(), Frame.PARCEL));
        if (parcel == null) {
            return false;
        }
        whole.content.writeBytes(parcel);
        if (whole.missing() == 0) {
            incoming = null;
            taker.accept(new Message(envelope, whole.content.toByteArray()));
        }
        return true;
    }

    /** Whether more may be here than the last {@link #listen} took. */
    boolean isBusy() {
        return busy && !isOver();
    }

    /** What it said cannot be. */
    void refuse(String what) {
        wrong = true;
        lose("sent " + what + " over its control connection");
    }

    /** Whether it ended because of what it said. */
    boolean isWrong() {
        return wrong;
    }

    private void lose(String how) {
        if (end == null) {
            end = how;
        }
    }

    /** Whether it said goodbye. */
    boolean hasLeft() {
        return left;
    }

    /** How it ended, if it did without a goodbye. */
    @Nullable
    String end() {
        return left ? null : end;
    }

    boolean isOver() {
        return left || end != null;
    }

    /** A sign of life is due. */
    void beat() {
        beats = true;
    }

    /** Tells it the verdict, once; after it nothing that was to be said matters. */
    void tell(Verdict word) {
        verdict = word;
        if (sent == 0) {
            outbox.clear();
        }
    }

    /** Sends it a message, when what is to be sent before is. */
    void post(Message message) {
        outbox.add(message);
    }

    /** Writes what can be written, or as much of it as leaves time for the others. */
    void push() {
        try {
            boolean all = out.push();
            for (int frames = 0; all && frames < TURN && isNext(); frames++) {
                all = out.push();
            }
            SelectionKey registered = key;
            if (registered != null && registered.isValid()) {
                boolean done = all && outbox.isEmpty();
                registered.interestOps(done ? SelectionKey.OP_READ : SelectionKey.OP_READ | SelectionKey.OP_WRITE);
            }
        } catch (IOException failure) {
            lose("is gone, its control connection failed: " + failure.getMessage());
        }
    }

    /** Begins the next frame, the most urgent first; whether there is one. */
    private boolean isNext() {
        Verdict word = verdict;
        Message first = outbox.peek();
        if (word != null && !told) {
            told = true;
            out.begin(word);
        } else if (beats) {
            beats = false;
            out.begin(Frame.HEARTBEAT);
        } else if (first != null) {
            sent += out.begin(first, sent);
            if (sent == first.content().length) {
                outbox.remove();
                sent = 0;
            }
        } else {
            return false;
        }
        return true;
    }

    /** Ends the connection, after a goodbye or the verdict that it does not know yet. */
    void close(@Nullable Verdict word) {
        if (!isOver()) {
            out.lastWords(told ? null : word);
        }
        Sockets.closeGently(channel);
    }
}
