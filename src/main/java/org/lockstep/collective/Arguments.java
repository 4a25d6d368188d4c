package org.lockstep.collective;

import java.time.Duration;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.Buffer;

/**
 * What each operation's arguments must be, before anything is sent; a group of operations is checked while it is noted.
 * Every refusal is an IllegalArgumentException. Nothing is allocated where nothing is wrong.
 */
final class Arguments {
    /** Of deadlines and limits; nanoseconds of longer ones do not fit a long. */
    private static final Duration LONGEST = Duration.ofDays(36_500);

    private Arguments() {}

    static void allReduce(GuardedCommunicator here, Buffer send, Buffer receive, ReduceOp op) {
        requireMine(here, send, receive);
        requireSameShape(send, receive);
        requireReducible(send, op);
    }

    static void reduce(GuardedCommunicator here, Buffer send, Buffer receive, ReduceOp op, int root) {
        requireRank(here, "root", root);
        allReduce(here, send, receive, op);
    }

    static void broadcast(GuardedCommunicator here, Buffer send, Buffer receive, int root) {
        requireRank(here, "root", root);
        requireMine(here, send, receive);
        requireSameShape(send, receive);
    }

    static void allGather(GuardedCommunicator here, Buffer send, Buffer receive, Blocks blocks) {
        requireMine(here, send, receive);
        requireBlocks(here, "receive", receive, "send", send, blocks);
    }

    static void reduceScatter(GuardedCommunicator here, Buffer send, Buffer receive, ReduceOp op, Blocks blocks) {
        requireMine(here, send, receive);
        requireBlocks(here, "send", send, "receive", receive, blocks);
        requireReducible(send, op);
    }

    /** What of {@code receive} a gather looks at: nothing but at the root. */
    static @Nullable Buffer gather(GuardedCommunicator here, Buffer send, @Nullable Buffer receive, int root) {
        return rootBlocks(here, "receive", receive, "send", send, root);
    }

    /** What of {@code send} a scatter looks at: nothing but at the root. */
    static @Nullable Buffer scatter(GuardedCommunicator here, @Nullable Buffer send, Buffer receive, int root) {
        return rootBlocks(here, "send", send, "receive", receive, root);
    }

    /** The blocks of an all-to-all. */
    static Blocks allToAll(GuardedCommunicator here, Buffer send, Buffer receive) {
        requireSameShape(send, receive);
        if (send.length() % here.size() != 0) {
            throw new IllegalArgumentException("the length of send (" + send.length()
                    + ") is not a multiple of the size (" + here.size() + ") of " + here.group());
        }
        Blocks blocks = Blocks.even(here.size(), send.length() / here.size());
        allToAll(here, send, blocks, receive, blocks);
        return blocks;
    }

    static void allToAll(
            GuardedCommunicator here, Buffer send, Blocks sendBlocks, Buffer receive, Blocks receiveBlocks) {
        requireMine(here, send, receive);
        int me = here.rankInGroup();
        if (send.type() != receive.type()
                || send.length() != sendBlocks.total()
                || receive.length() != receiveBlocks.total()) {
            throw new IllegalArgumentException("send is " + described(send) + " and its counts make "
                    + sendBlocks.total() + ", receive is " + described(receive) + " and its counts make "
                    + receiveBlocks.total() + "; they must be equal, and of one type");
        }
        if (sendBlocks.count(me) != receiveBlocks.count(me)) {
            throw new IllegalArgumentException("rank " + me + " in group sends itself " + sendBlocks.count(me)
                    + " elements, but receives " + receiveBlocks.count(me));
        }
        if (overlap(send, receive)) {
            throw new IllegalArgumentException("send and receive overlap; here they must be apart");
        }
    }

    static void transfer(GuardedCommunicator here, Buffer buffer, int peer) {
        requireMine(here, buffer, buffer);
        peer(here, peer);
    }

    static void peer(Communicator here, int peer) {
        requireRank(here, "peer", peer);
        if (peer == here.rankInGroup()) {
            throw new IllegalArgumentException("peer (" + peer + ") is this rank itself in " + here.group());
        }
    }

    static void broadcastObject(Communicator here, @Nullable Object value, int root) {
        requireRank(here, "root", root);
        if (root == here.rankInGroup() && value == null) {
            throw new IllegalArgumentException("the root of a broadcast gives the object, not null");
        }
    }

    /** {@code counts}, which must be one for each rank, as blocks. */
    static Blocks blocks(Communicator here, String name, long[] counts) {
        if (counts.length != here.size()) {
            throw new IllegalArgumentException(name + " are " + counts.length + ", but must be one for each of the "
                    + here.size() + " ranks of " + here.group());
        }
        return Blocks.of(counts);
    }

    /** {@code limit} as a deadline that every clock can hold. */
    static Duration deadline(Duration limit) {
        if (limit.isZero() || limit.isNegative()) {
            throw new IllegalArgumentException("deadline (" + limit + ") must be positive");
        }
        return limit.compareTo(LONGEST) > 0 ? LONGEST : limit;
    }

    private static void requireMine(GuardedCommunicator here, Buffer one, Buffer other) {
        if (!here.isMine(one) || !here.isMine(other)) {
            throw new IllegalArgumentException("buffers on " + one.device() + " and " + other.device()
                    + " cannot travel in " + here.group() + ", whose ranks use another device");
        }
        if (!one.device().equals(other.device())) {
            throw new IllegalArgumentException("buffers on " + one.device() + " and " + other.device()
                    + " cannot travel together; those of an operation are all on one device");
        }
    }

    private static void requireSameShape(Buffer send, Buffer receive) {
        if (send == receive) {
            return;
        }
        if (send.type() != receive.type() || send.length() != receive.length()) {
            throw new IllegalArgumentException("send is " + described(send) + ", but receive is " + described(receive)
                    + "; type and length must be equal");
        }
        if (overlap(send, receive) && send.position() != receive.position()) {
            throw new IllegalArgumentException("send and receive overlap; they may be the same or apart");
        }
    }

    private static void requireReducible(Buffer buffer, ReduceOp op) {
        if (op.needsFloating() && !buffer.type().isFloating()) {
            throw new IllegalArgumentException(op.kind() + " is for floating types, not " + buffer.type());
        }
    }

    private static void requireRank(Communicator here, String name, int rank) {
        if (rank < 0 || rank >= here.size()) {
            throw new IllegalArgumentException(
                    name + " (" + rank + ") is a rank in group, 0.." + (here.size() - 1) + ", of " + here.group());
        }
    }

    /** {@code whole} has all blocks and {@code block} is as long as this rank's; it is that one, or apart. */
    private static void requireBlocks(
            Communicator here, String wholeName, Buffer whole, String blockName, Buffer block, Blocks blocks) {
        int rank = here.rankInGroup();
        if (whole.type() != block.type() || whole.length() != blocks.total() || block.length() != blocks.count(rank)) {
            throw new IllegalArgumentException(wholeName + " must be " + block.type() + "[" + blocks.total() + "] and "
                    + blockName + " " + block.type() + "[" + blocks.count(rank) + "], but they are "
                    + described(whole) + " and " + described(block));
        }
        if (overlap(whole, block) && block.position() - whole.position() != blocks.from(rank)) {
            throw new IllegalArgumentException(blockName + " begins at element " + (block.position() - whole.position())
                    + " of " + wholeName + "; it may only overlap as block " + rank + ", from " + blocks.from(rank));
        }
    }

    /** {@code whole} at the root, which must give it; null elsewhere. */
    private static @Nullable Buffer rootBlocks(
            GuardedCommunicator here,
            String wholeName,
            @Nullable Buffer whole,
            String blockName,
            Buffer block,
            int root) {
        requireRank(here, "root", root);
        if (root != here.rankInGroup()) {
            requireMine(here, block, block);
            return null;
        }
        if (whole == null) {
            throw new IllegalArgumentException(
                    "the root, rank " + root + " in " + here.group() + ", gives " + wholeName + ", not null");
        }
        requireMine(here, whole, block);
        requireBlocks(here, wholeName, whole, blockName, block, Blocks.even(here.size(), block.length()));
        return whole;
    }

    private static String described(Buffer buffer) {
        return buffer.type() + "[" + buffer.length() + "]";
    }

    /** Whether they share an element. */
    private static boolean overlap(Buffer one, Buffer other) {
        return one.memory() == other.memory()
                && one.length() > 0
                && other.length() > 0
                && one.position() < other.position() + other.length()
                && other.position() < one.position() + one.length();
    }
}
