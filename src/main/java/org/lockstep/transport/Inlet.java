package org.lockstep.transport;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.HostBuffer;

/**
 * The way in over one connection: bytes are read into one buffer, and leave it when their frame is whole and its seal
 * holds. Nothing waits. Confined to one thread at a time.
 *
 * <p>A frame that nobody wants yet is read as far as its header and, if it is small, a little further.
 */
final class Inlet {
    /** What is read beyond the frame that is waited for: a small message then comes with the one before. */
    private static final int AHEAD = 4096;

    private final SocketChannel channel;
    private final Seal seal;
    private final ByteBuffer in; // without position and limit of its own, but for a moment
    private int head; // of the frame that comes or is here
    private int tail; // of what was read
    private boolean opened; // the header at head
    private int at; // the next element of the frame at head, once it is whole; 0 before
    private int end; // of its elements
    private long left; // bytes of the message after this frame's
    private long done; // bytes of the message before this frame's
    private boolean ended;
    private boolean starving;
    private boolean moved;

    /** What came cannot be. */
    static final class Damaged extends Exception {
        private static final long serialVersionUID = 1;

        Damaged(String what) {
            super(what);
        }
    }

    /** For frames of at most {@code payload} bytes of payload. */
    Inlet(SocketChannel channel, Seal seal, int payload) {
        this.channel = channel;
        this.seal = seal;
        this.in = Wire.buffer(seal.frameBytes(payload) + AHEAD);
    }

    /** Whether {@code bytes} of the frame at the head are here, after a read if need be. */
    private boolean has(int bytes) throws IOException {
        if (tail - head >= bytes) {
            return true;
        }
        if (ended) {
            return false;
        }
        if (head > 0 && head + bytes > in.capacity()) {
            in.limit(tail).position(head);
            in.compact().clear();
            tail -= head;
            head = 0;
        }
        int wish = Math.min(in.capacity(), head + Math.max(bytes, AHEAD));
        int read = channel.read(in.limit(wish).position(tail));
        in.clear();
        if (read < 0) {
            ended = true;
        } else if (read > 0) {
            moved = true;
            tail += read;
        }
        starving = tail - head < bytes;
        return !starving;
    }

    /**
     * Whether the header of a frame is here.
     *
     * @param payload bytes that are expected after it
     * @throws Failed with the verdict of the peer, if it is one
     */
    boolean header(long payload) throws IOException, Damaged {
        if (!opened) {
            int rest = (int) Math.min(payload, Frame.CHUNK);
            if (!has(seal.frameBytes(rest)) && tail - head < seal.headerBytes()) {
                return false;
            }
            if (!seal.isHeaderWhole(in, head)) {
                throw new Damaged("a damaged header");
            }
            opened = true;
        }
        if (Frame.kind(in, head) == Frame.ABORT) {
            hear();
            return false;
        }
        return true;
    }

    private void hear() throws IOException, Damaged {
        try {
            int bytes = Frame.textBytes(in, head);
            if (!has(seal.frameBytes(bytes))) {
                return;
            }
            if (bytes > 0 && !seal.isPayloadWhole(in, head, bytes)) {
                throw new Damaged("a damaged verdict");
            }
            byte[] text = new byte[bytes];
            in.limit(tail).position(head + seal.headerBytes()).get(text).clear();
            throw new Failed(Frame.verdict(in, head, new String(text, StandardCharsets.UTF_8)));
        } catch (IllegalArgumentException nonsense) {
            throw new Damaged(String.valueOf(nonsense.getMessage()));
        }
    }

    /** Of the header that is here. */
    int kind() {
        return Frame.kind(in, head);
    }

    boolean matches(OperationTag tag) {
        return Frame.matches(in, head, tag);
    }

    /** The tag of the DATA header that is here. */
    OperationTag tag() throws Damaged {
        try {
            return Frame.tag(in, head);
        } catch (IllegalArgumentException nonsense) {
            throw new Damaged(String.valueOf(nonsense.getMessage()));
        }
    }

    /** What the CALL or ANSWER header that is here says. */
    Message.Envelope envelope() throws Damaged {
        try {
            return Frame.envelope(in, head);
        } catch (IllegalArgumentException nonsense) {
            throw new Damaged(String.valueOf(nonsense.getMessage()));
        }
    }

    /** The payload of the frame whose header is here, before its {@link #end}; null until all its {@code count} bytes are. */
    byte @Nullable [] payload(int count) throws IOException, Damaged {
        if (!has(seal.frameBytes(count))) {
            return null;
        }
        if (count > 0 && !seal.isPayloadWhole(in, head, count)) {
            throw new Damaged("damaged bytes of a call");
        }
        byte[] bytes = new byte[count];
        at = head + seal.headerBytes();
        in.position(at).get(bytes).clear();
        end = count == 0 ? 0 : at + count;
        return bytes;
    }

    /** The frame that is here begins a message of so many bytes. */
    void begin(long bytes) {
        left = bytes;
        done = 0;
        at = 0;
        end = 0;
    }

    /** Takes elements {@code from} to {@code until} of the target, as far as they are here; the number of elements taken. */
    int take(HostBuffer target, int from, int until) throws IOException, Damaged {
        int width = target.type().bytes();
        int to = from;
        while (to < until && (at < end || isNext())) {
            int count = Math.min(until - to, (end - at) / width);
            Wire.get(in.limit(end).position(at), target, to, count);
            in.clear();
            to += count;
            at += count * width;
        }
        return to - from;
    }

    /** Whether the next frame of the message is whole. */
    private boolean isNext() throws IOException, Damaged {
        if (end > 0) {
            drop();
        }
        if (!header(left)) {
            return false;
        }
        boolean fits = done == 0 ? kind() == Frame.DATA : kind() == Frame.MORE && in.getLong(head + 8) == done;
        if (!fits) {
            throw new Damaged("a frame of kind " + kind() + " in the middle of a message");
        }
        int payload = (int) Math.min(left, Frame.CHUNK);
        if (!has(seal.frameBytes(payload))) {
            return false;
        }
        if (!seal.isPayloadWhole(in, head, payload)) {
            throw new Damaged("damaged elements");
        }
        at = head + seal.headerBytes();
        end = at + payload;
        left -= payload;
        done += payload;
        return true;
    }

    /** The frame at the head was taken. */
    private void drop() {
        head = end == 0 ? head + seal.headerBytes() : end + seal.tailBytes();
        if (head == tail) {
            head = 0;
            tail = 0;
        }
        opened = false;
        at = 0;
        end = 0;
    }

    /** The message that was here was taken whole, or the frame that has no payload. */
    void end() {
        drop();
        rest();
    }

    /** Nobody waits for a frame now. */
    void rest() {
        starving = false;
    }

    /** Whether nothing more comes. */
    boolean isEnded() {
        return ended;
    }

    /** Whether the last look found too little. */
    boolean isStarving() {
        return starving && !ended;
    }

    /** Whether anything was read since the last call. */
    boolean moved() {
        boolean any = moved;
        moved = false;
        return any;
    }
}
