package org.lockstep.cpu;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.ObjectCodec;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;
import org.lockstep.transport.Mesh.Letter;

/**
 * Bytes whose number only their sender knows: it travels first, and by it a peer says how much memory to take, so it is
 * bounded by {@link ObjectCodec#MAX_BYTES}; and by it the operation has the time that they take. Confined to the thread that
 * the communicator admitted.
 *
 * <p>For n ranks and an object of S bytes, or objects of S in all, steps and bytes are those of the same operations on buffers, a
 * barrier before each where they have one:
 *
 * <table>
 * <caption>Algorithms</caption>
 * <tr><td>broadcast</td><td>those of two broadcasts</td><td>of 8 and of S bytes</td><td>length, then content</td></tr>
 * <tr><td>all-gather</td><td>those of two all-gathers</td><td>of 8 · n and of S bytes</td><td>lengths, then contents</td></tr>
 * <tr><td>send</td><td>1 step</td><td>8 + S</td><td>both at once; who receives makes room between them</td></tr>
 * </table>
 *
 * <p>An all-gather takes room for 2 · S bytes on each rank, the others for S on who receives.
 */
final class Parcels {
    /** Of all ranks' together, for they come in one array. */
    private static final long MOST_BYTES = Integer.MAX_VALUE - 8;

    private final Mesh mesh;
    private final Collectives collectives;

    Parcels(Mesh mesh, Collectives collectives) {
        this.mesh = mesh;
        this.collectives = collectives;
    }

    /**
     * The root's bytes, on every rank.
     *
     * @param mine null on the others
     */
    byte[] broadcast(OperationTag tag, byte @Nullable [] mine, int root) {
        HostBuffer length = Buffer.ofLongs(mine == null ? 0 : mine.length);
        collectives.broadcast(tag, length, length, root);
        HostBuffer content = mine == null ? room(tag, length, root) : HostBuffer.of(DataType.U8, mine);
        mesh.moves(content.bytes());
        collectives.broadcast(sized(tag, content.length(), root), content, content, root);
        return content.byteArray();
    }

    /** Every rank's bytes, in their order. */
    List<byte[]> allGather(OperationTag tag, byte[] mine) {
        HostBuffer lengths = HostBuffer.allocate(DataType.I64, collectives.size());
        collectives.allGather(tag, Buffer.ofLongs(mine.length), lengths, Blocks.even(collectives.size(), 1));
        requireLengths(tag, lengths.longs());
        Blocks blocks = Blocks.of(lengths.longs());
        HostBuffer all = HostBuffer.allocate(DataType.U8, blocks.total());
        mesh.moves(all.bytes());
        collectives.allGather(sized(tag, blocks.total(), -1), HostBuffer.of(DataType.U8, mine), all, blocks);
        List<byte[]> parts = new ArrayList<>();
        for (int rank = 0; rank < collectives.size(); rank++) {
            int from = (int) blocks.from(rank);
            parts.add(Arrays.copyOfRange(all.byteArray(), from, from + (int) blocks.count(rank)));
        }
        return List.copyOf(parts);
    }

    private static OperationTag sized(OperationTag tag, long bytes, int root) {
        return new OperationTag(tag.sequence(), tag.operation(), null, DataType.U8, bytes, root);
    }

    /** What a transfer of such bytes is called, on both sides: by its number among those from one to the other. */
    static OperationTag tag(long number, int receiver) {
        return tag(number, Buffer.ofLongs(0), receiver);
    }

    private static OperationTag tag(long number, HostBuffer data, int receiver) {
        return new OperationTag(number, Operation.SEND_OBJECT, null, data.type(), data.length(), receiver);
    }

    void send(long number, byte[] mine, int peer) {
        HostBuffer length = Buffer.ofLongs(mine.length);
        HostBuffer content = HostBuffer.of(DataType.U8, mine);
        mesh.moves(content.bytes());
        mesh.transfer(
                List.of(
                        new Letter(tag(number, length, peer), length, peer),
                        new Letter(tag(number, content, peer), content, peer)),
                List.of());
    }

    byte[] receive(long number, int peer) {
        HostBuffer length = Buffer.ofLongs(0);
        OperationTag tag = tag(number, length, mesh.rank());
        mesh.transfer(List.of(), List.of(new Letter(tag, length, peer)));
        HostBuffer content = room(tag, length, peer);
        mesh.moves(content.bytes());
        mesh.transfer(List.of(), List.of(new Letter(tag(number, content, mesh.rank()), content, peer)));
        return content.byteArray();
    }

    private HostBuffer room(OperationTag tag, HostBuffer length, int peer) {
        return HostBuffer.allocate(DataType.U8, requireLength(tag, length.longs()[0], peer));
    }

    /** All ranks have the same lengths: each finds the same, and says so in the same words, before any has sent its bytes. */
    private void requireLengths(OperationTag tag, long... lengths) {
        for (int rank = 0; rank < lengths.length; rank++) {
            requireLength(tag, lengths[rank], rank);
        }
        int longest = longestOfTooMany(lengths);
        if (longest >= 0) {
            throw mesh.refused(
                    tag,
                    longest,
                    "the length of an object, " + lengths[longest] + " bytes, the longest of " + lengths.length
                            + " objects of " + LongStream.of(lengths).sum() + " bytes together, of which a rank can"
                            + " hold " + MOST_BYTES + "; none was sent (try: smaller objects, or broadcastObject of"
                            + " each rank in turn)");
        }
    }

    /** Which of these lengths, one of a rank each, is the longest, the first of several; -1 where all fit into one array. */
    static int longestOfTooMany(long... lengths) {
        if (LongStream.of(lengths).sum() <= MOST_BYTES) {
            return -1;
        }
        int longest = 0;
        for (int rank = 1; rank < lengths.length; rank++) {
            longest = lengths[rank] > lengths[longest] ? rank : longest;
        }
        return longest;
    }

    private long requireLength(OperationTag tag, long bytes, int peer) {
        if (bytes < 1 || bytes > ObjectCodec.MAX_BYTES) {
            throw mesh.refused(tag, peer, "an object of " + bytes + " bytes, not 1.." + ObjectCodec.MAX_BYTES);
        }
        return bytes;
    }
}
