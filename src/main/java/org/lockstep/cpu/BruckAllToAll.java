package org.lockstep.cpu;

import java.util.List;
import java.util.stream.IntStream;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;
import org.lockstep.transport.Mesh.Letter;

/**
 * All-to-all for groups in which only those ranks are connected whose distance around the group is a power of two (Bruck, Ho,
 * Kipnis, Upfal, Weathersby, IEEE TPDS 8, 1997): a block goes to its rank by the binary digits of its distance, the ranks on
 * the way pass it on.
 *
 * <p>For n ranks, S bytes that each sends and log = ⌈log2 n⌉: log steps, about log · S/2 bytes that each rank sends, and room for
 * as many. Where blocks are of unequal length each step has one more before it, of the lengths: 8 bytes for each block passed on.
 */
final class BruckAllToAll {
    private final Mesh mesh;
    private final int me;
    private final int size;

    BruckAllToAll(Mesh mesh, int rankInGroup, int size) {
        this.mesh = mesh;
        this.me = rankInGroup;
        this.size = size;
    }

    /** The part of this rank, which is in the operation of this tag with all others. */
    void run(OperationTag tag, HostBuffer send, Blocks sendBlocks, HostBuffer receive, Blocks receiveBlocks) {
        HostBuffer[] held = new HostBuffer[size]; // by the distance from where a block began to where it goes
        for (int distance = 0; distance < size; distance++) {
            held[distance] = Collectives.block(sendBlocks, send, (me + distance) % size);
        }
        for (int step = 1; step < size; step *= 2) {
            pass(tag, held, step);
        }
        for (int distance = 0; distance < size; distance++) {
            int from = Math.floorMod(me - distance, size);
            HostBuffer place = Collectives.block(receiveBlocks, receive, from);
            if (held[distance].length() != place.length()) {
                throw mesh.differs(tag.withCount(place.length()), from, tag.withCount(held[distance].length()));
            }
            Collectives.copy(held[distance], place);
        }
    }

    /** Passes on what has {@code step} in its distance, and takes the other end's in its place. */
    private void pass(OperationTag tag, HostBuffer[] held, int step) {
        int[] passed = IntStream.range(step, size)
                .filter(distance -> (distance & step) != 0)
                .toArray();
        HostBuffer lengths = HostBuffer.allocate(DataType.I64, passed.length);
        for (int i = 0; i < passed.length; i++) {
            lengths.longs()[i] = held[passed[i]].length();
        }
        Blocks out = Blocks.of(lengths.longs());
        Blocks in = out;
        if (tag.operation().isRagged()) {
            HostBuffer theirs = HostBuffer.allocate(DataType.I64, passed.length);
            swap(tag, lengths, theirs, step);
            in = Blocks.of(theirs.longs());
        }
        HostBuffer away = HostBuffer.allocate(held[0].type(), out.total());
        for (int i = 0; i < passed.length; i++) {
            Collectives.copy(held[passed[i]], Collectives.block(out, away, i));
        }
        HostBuffer here = HostBuffer.allocate(away.type(), in.total());
        swap(tag, away, here, step);
        for (int i = 0; i < passed.length; i++) {
            held[passed[i]] = Collectives.block(in, here, i);
        }
    }

    private void swap(OperationTag tag, HostBuffer out, HostBuffer in, int step) {
        mesh.transfer(
                List.of(new Letter(tag, out, (me + step) % size)),
                List.of(new Letter(tag, in, Math.floorMod(me - step, size))));
    }
}
