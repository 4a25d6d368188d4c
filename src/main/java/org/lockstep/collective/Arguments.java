package org.lockstep.collective;

import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;

/** What an operation's arguments must be, before anything is sent. Every refusal is an IllegalArgumentException. */
final class Arguments {
    private Arguments() {}

    static void requireMine(Communicator here, boolean mine, Buffer one, Buffer other) {
        if (!mine) {
            throw new IllegalArgumentException("buffers on " + one.device() + " and " + other.device()
                    + " cannot travel in " + here.group() + ", whose ranks use another device");
        }
    }

    static void requireSameShape(Buffer send, Buffer receive) {
        if (send != receive && (send.type() != receive.type() || send.length() != receive.length())) {
            throw new IllegalArgumentException("send is " + send.type() + "[" + send.length() + "], but receive "
                    + receive.type() + "[" + receive.length() + "]");
        }
        if (send != receive && overlap(send, receive) && offset(send) != offset(receive)) {
            throw new IllegalArgumentException("send and receive overlap; they may be the same or apart");
        }
    }

    static void requireApart(Buffer send, Buffer receive) {
        if (overlap(send, receive)) {
            throw new IllegalArgumentException("send and receive overlap; here they must be apart");
        }
    }

    static void requireReducible(Buffer buffer, ReduceOp op) {
        if (op.needsFloating() && !buffer.type().isFloating()) {
            throw new IllegalArgumentException(op.kind() + " is for floating types, not " + buffer.type());
        }
    }

    static Blocks blocks(Communicator here, String name, long[] counts) {
        if (counts.length != here.size()) {
            throw new IllegalArgumentException(name + " are " + counts.length + ", one for each of the " + here.size()
                    + " ranks of " + here.group());
        }
        return Blocks.of(counts);
    }

    /** {@code whole} has all blocks and {@code block} is as long as this rank's; it is that one, or apart. */
    static void requireBlocks(
            Communicator here, String wholeName, Buffer whole, String blockName, Buffer block, Blocks blocks) {
        int rank = here.rankInGroup();
        if (whole.type() != block.type() || whole.length() != blocks.total() || block.length() != blocks.count(rank)) {
            throw new IllegalArgumentException(wholeName + " must be " + block.type() + "[" + blocks.total() + "] and "
                    + blockName + " " + block.type() + "[" + blocks.count(rank) + "], but they are " + whole.type()
                    + "["
                    + whole.length() + "] and " + block.type() + "[" + block.length() + "]");
        }
        if (overlap(whole, block) && offset(block) - offset(whole) != blocks.from(rank)) {
            throw new IllegalArgumentException(blockName + " begins at element " + (offset(block) - offset(whole))
                    + " of " + wholeName + "; it may only overlap as block " + rank + ", from " + blocks.from(rank));
        }
    }

    /** As {@link #requireBlocks} at the root, where {@code whole} must be given. */
    static void requireRootBlocks(
            Communicator here, String wholeName, @Nullable Buffer whole, String blockName, Buffer block, int root) {
        if (root == here.rankInGroup()) {
            if (whole == null) {
                throw new IllegalArgumentException(
                        "the root, rank " + root + " in " + here.group() + ", gives " + wholeName);
            }
            requireBlocks(here, wholeName, whole, blockName, block, Blocks.even(here.size(), block.length()));
        }
    }

    static void requireTotals(Buffer send, Blocks sendBlocks, Buffer receive, Blocks receiveBlocks, int me) {
        if (send.type() != receive.type()
                || send.length() != sendBlocks.total()
                || receive.length() != receiveBlocks.total()) {
            throw new IllegalArgumentException("send is " + send.type() + "[" + send.length() + "] for "
                    + sendBlocks.total() + " elements, receive " + receive.type() + "[" + receive.length() + "] for "
                    + receiveBlocks.total());
        }
        if (sendBlocks.count(me) != receiveBlocks.count(me)) {
            throw new IllegalArgumentException("rank " + me + " in group sends itself " + sendBlocks.count(me)
                    + " elements, but receives " + receiveBlocks.count(me));
        }
    }

    static void requireRank(Communicator here, String name, int rank) {
        if (rank < 0 || rank >= here.size()) {
            throw new IllegalArgumentException(
                    name + " (" + rank + ") is a rank in group, 0.." + (here.size() - 1) + ", of " + here.group());
        }
    }

    static void requirePeer(Communicator here, int peer) {
        requireRank(here, "peer", peer);
        if (peer == here.rankInGroup()) {
            throw new IllegalArgumentException("peer (" + peer + ") is this rank itself in " + here.group());
        }
    }

    /** In host memory, where it can be seen. */
    private static boolean overlap(Buffer one, Buffer other) {
        return one instanceof HostBuffer a
                && other instanceof HostBuffer b
                && a.array() == b.array()
                && a.offset() < b.offset() + b.size()
                && b.offset() < a.offset() + a.size();
    }

    private static long offset(Buffer buffer) {
        return buffer instanceof HostBuffer host ? host.offset() : 0;
    }
}
