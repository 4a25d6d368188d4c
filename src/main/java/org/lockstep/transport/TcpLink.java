package org.lockstep.transport;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SelectionKey;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.HostBuffer;

/**
 * One authenticated, non-blocking connection to one peer: at most one frame on its way out and one on its way in.
 *
 * <p>A frame may come before this rank wants it: then only its header is read, and nothing more until it is wanted.
 * Confined to its transport's thread.
 */
final class Link {
    private final SocketChannel channel;
    private final SelectionKey selection;

    private final ByteBuffer outHeader = buffer(Frame.BYTES);
    private @Nullable HostBuffer outData;
    private long outBytes;
    private long outDone;
    private boolean full;

    private final ByteBuffer inHeader = buffer(Frame.BYTES);
    private Frame.@Nullable Header header;
    private @Nullable OperationTag wanted;
    private @Nullable HostBuffer inData;
    private int inElements;
    private final byte[] carry = new byte[8];
    private int carried;
    private byte[] rest = new byte[0];
    private boolean ended;

    /** The peer's rank in group. */
    final int peer;

    Link(int peer, SocketChannel channel, SelectionKey selection) {
        this.peer = peer;
        this.channel = channel;
        this.selection = selection;
        outHeader.limit(0);
    }

    static ByteBuffer buffer(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Begins to send a frame; the one before is complete. */
    void beginSend(OperationTag tag, @Nullable HostBuffer data) {
        outHeader.clear();
        Frame.data(outHeader, tag);
        outHeader.flip();
        outData = data;
        outBytes = data == null ? 0 : data.bytes();
        outDone = 0;
    }

    /** Begins to receive a frame of this tag into {@code data}. */
    void beginReceive(OperationTag tag, @Nullable HostBuffer data) {
        wanted = tag;
        inData = data;
        inElements = 0;
        carried = 0;
    }

    boolean isSending() {
        return outHeader.hasRemaining() || outDone < outBytes;
    }

    boolean isReceiving() {
        return wanted != null;
    }

    /** The tag of the frame that came, whether wanted or not. */
    @Nullable
    OperationTag cameWith() {
        return header == null ? null : header.tag();
    }

    /** What was wanted is complete; the next frame may come. */
    private void received() {
        wanted = null;
        inData = null;
        header = null;
        inHeader.clear();
    }

    /** Writes what the socket takes; whether that was anything. */
    boolean pumpOut(ByteBuffer shared) throws IOException {
        if (full || !isSending()) {
            return false;
        }
        boolean any = false;
        while (isSending()) {
            shared.clear();
            HostBuffer data = outData;
            if (data != null && outDone < outBytes) {
                int width = data.type().bytes();
                Wire.put(data, (int) (outDone / width), shared);
                shared.flip().position((int) (outDone % width));
            } else {
                shared.flip();
            }
            int headerBytes = outHeader.remaining();
            int wish = headerBytes + shared.remaining();
            long wrote = headerBytes > 0 ? channel.write(new ByteBuffer[] {outHeader, shared}) : channel.write(shared);
            outDone += wrote - (headerBytes - outHeader.remaining());
            any |= wrote > 0;
            if (wrote < wish) {
                full = true;
                break;
            }
        }
        if (!isSending()) {
            outData = null;
        }
        return any;
    }

    /**
     * Reads what is there and may be read; whether that was anything.
     *
     * @throws IllegalArgumentException with what came, if it cannot be a frame
     */
    boolean pumpIn(ByteBuffer shared) throws IOException {
        if (ended || (header != null && (wanted == null || !wanted.equals(header.tag())))) {
            return false;
        }
        boolean any = false;
        while (true) {
            shared.clear();
            int headerBytes = inHeader.remaining();
            long left = bytesLeft();
            shared.put(carry, 0, carried);
            int before = shared.position();
            shared.limit((int) Math.min(shared.capacity(), before + left));
            if (headerBytes == 0 && left == 0) {
                break;
            }
            long read = headerBytes > 0 && left > 0
                    ? channel.read(new ByteBuffer[] {inHeader, shared})
                    : channel.read(headerBytes > 0 ? inHeader : shared);
            if (read < 0) {
                ended = true;
                return true;
            }
            if (read == 0) {
                break;
            }
            any = true;
            if (headerBytes > 0 && !inHeader.hasRemaining()) {
                inHeader.flip();
                header = Frame.read(inHeader);
                inHeader.position(Frame.BYTES);
            }
            shared.flip();
            if (header == null || header.tag() == null || !header.tag().equals(wanted)) {
                // Not what is wanted: the transport looks at it. What was read after a verdict's header is its text.
                shared.position(Math.min(before, shared.limit()));
                keepRest(shared);
                return true;
            }
            HostBuffer data = inData;
            if (data != null) {
                inElements += Wire.get(shared, data, inElements);
            }
            keepRest(shared);
            if (bytesLeft() == 0) {
                received();
                break;
            }
        }
        if (wanted != null && header != null && wanted.equals(header.tag()) && bytesLeft() == 0) {
            received();
            any = true;
        }
        return any;
    }

    private void keepRest(ByteBuffer shared) {
        if (header != null && header.verdict() != null) {
            rest = new byte[shared.remaining()];
            shared.get(rest);
        } else {
            carried = Math.min(shared.remaining(), carry.length);
            shared.get(carry, 0, carried);
        }
    }

    /** Bytes of the wanted payload that are still on their way. */
    private long bytesLeft() {
        HostBuffer data = inData;
        return wanted == null || data == null
                ? 0
                : data.bytes() - (long) inElements * data.type().bytes() - carried;
    }

    /** The verdict that the peer sent, once all its text is here. */
    @Nullable
    Verdict verdict() throws IOException {
        Frame.Header seen = header;
        Verdict said = seen == null ? null : seen.verdict();
        if (seen == null || said == null) {
            return null;
        }
        ByteBuffer text = ByteBuffer.allocate(seen.textBytes());
        text.put(rest, 0, Math.min(rest.length, text.remaining()));
        // It was written in one piece and is small: what is not here at once is not waited for.
        while (text.hasRemaining() && channel.read(text) > 0) {}
        String words = new String(text.array(), 0, text.position(), StandardCharsets.UTF_8);
        return new Verdict(said.code(), said.rank(), said.group(), words, said.culprit(), null);
    }

    /** The peer said goodbye. */
    boolean saidGoodbye() {
        return header != null && header.isGoodbye();
    }

    /** The connection ended without a goodbye. */
    boolean isBroken() {
        return ended && !saidGoodbye();
    }

    /** Tells the selector what this link waits for. */
    void awaitReadiness() {
        boolean reads = !ended && (header == null || wanted != null) && !saidGoodbye();
        boolean writes = isSending();
        selection.interestOps((reads ? SelectionKey.OP_READ : 0) | (writes ? SelectionKey.OP_WRITE : 0));
    }

    /** The socket may take more by now. */
    void retry() {
        full = false;
    }

    /** Ends the link; the last words are written if no frame is half on its way. */
    void close(ByteBuffer lastWords) {
        boolean between = !isSending() || (outHeader.hasRemaining() && outHeader.position() == 0);
        if (between) {
            try {
                channel.write(lastWords);
            } catch (IOException alreadyGone) {
                // nobody is there to hear them
            }
        }
        Sockets.closeGently(channel);
    }
}
