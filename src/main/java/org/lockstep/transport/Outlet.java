package org.lockstep.transport;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.HostBuffer;

/**
 * The way out over one connection: sealed frames, one after the other, each from one buffer in as few writes as the socket
 * takes. Nothing waits. Confined to one thread at a time.
 */
final class Outlet {
    private final SocketChannel channel;
    private final Seal seal;
    private final ByteBuffer out; // the frame on its way: from its position on not written yet
    private @Nullable HostBuffer data; // until it is all in frames
    private long done;
    private boolean moved;

    /** For messages whose frames have at most {@code payload} bytes of it. */
    Outlet(SocketChannel channel, Seal seal, int payload) {
        this.channel = channel;
        this.seal = seal;
        this.out = Wire.buffer(seal.frameBytes(payload)).limit(0);
    }

    /** Begins a message; the one before was {@link #push}ed whole. */
    void begin(OperationTag tag, @Nullable HostBuffer elements) {
        if (data != null || out.hasRemaining()) {
            throw new IllegalStateException("the message before is not written");
        }
        out.clear();
        Frame.put(out, Frame.DATA, Frame.word(tag), tag.sequence(), tag.count());
        data = elements == null || elements.size() == 0 ? null : elements;
        done = 0;
        fill();
    }

    /** A frame without elements, after what is on its way. */
    void begin(int kind) {
        out.clear();
        Frame.put(out, kind, 0, 0, 0);
        fill();
    }

    /** The frame of a message with its bytes from {@code from} on, as many as fit into one; returns their number. */
    int begin(Message message, int from) {
        int bytes = Math.min(message.content().length - from, Frame.PARCEL);
        out.clear();
        Frame.put(out, message.envelope());
        out.position(seal.headerBytes()).put(message.content(), from, bytes).clear();
        send(bytes);
        return bytes;
    }

    void begin(Verdict verdict) {
        byte[] text = Frame.text(verdict);
        out.clear();
        Frame.abort(out, verdict, text.length);
        out.position(seal.headerBytes()).put(text).clear();
        send(text.length);
    }

    /** Adds the next elements to the frame whose header is there, and seals it. */
    private void fill() {
        HostBuffer elements = data;
        int bytes = 0;
        if (elements != null) {
            bytes = (int) Math.min(elements.bytes() - done, Frame.CHUNK);
            int width = elements.type().bytes();
            out.position(seal.headerBytes());
            Wire.put(elements, (int) (done / width), bytes / width, out);
            out.clear();
            done += bytes;
            if (done == elements.bytes()) {
                data = null;
            }
        }
        send(bytes);
    }

    private void send(int payload) {
        seal.seal(out, payload);
        out.limit(seal.frameBytes(payload)).position(0);
    }

    /** Writes what the socket takes; whether all is written. */
    boolean push() throws IOException {
        while (true) {
            if (out.hasRemaining()) {
                moved |= channel.write(out) > 0;
                if (out.hasRemaining()) {
                    return false;
                }
            }
            if (data == null) {
                return true;
            }
            out.clear();
            Frame.put(out, Frame.MORE, 0, done, 0);
            fill();
        }
    }

    /** Bytes of the message begun last that are in frames, or were. */
    long doneBytes() {
        return done;
    }

    boolean isPushed() {
        return data == null && !out.hasRemaining();
    }

    /** Whether anything was written since the last call. */
    boolean moved() {
        boolean any = moved;
        moved = false;
        return any;
    }

    /** Whether the next frame may be another one: a sealed one has its number and must go first. */
    private boolean isBetween() throws IOException {
        if (out.hasRemaining()) {
            channel.write(out);
        }
        return !out.hasRemaining();
    }

    /** Writes a goodbye, or why this rank goes, if that is possible at once. */
    void lastWords(@Nullable Verdict verdict) {
        try {
            if (isBetween()) {
                data = null;
                if (verdict == null) {
                    begin(Frame.GOODBYE);
                } else {
                    begin(verdict);
                }
                channel.write(out);
            }
        } catch (IOException alreadyGone) {
            // nobody is there to hear them
        }
    }
}
