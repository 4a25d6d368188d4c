package org.lockstep.cpu;

import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
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
 * some of them. Where blocks are of unequal length each step has one more before it, of the lengths: 8 bytes for each block passed
 * on. What passes through a rank then, and its room, depend on what others send, up to what one buffer holds in a step.
 *
 * <p>That a block is longer or shorter than its rank awaits only that rank can tell, and when it comes; the others are told in
 * what they call next.
 */
final class BruckAllToAll {
    private final Mesh mesh;
    private final int me;
    private final int size;

    BruckAllToAll(Mesh mesh) {
        this.mesh = mesh;
        this.me = mesh.rank();
        this.size = mesh.size();
    }

    /** The part of this rank, which is in the operation of this tag with all others. */
    void run(OperationTag tag, HostBuffer send, Blocks sendBlocks, HostBuffer receive, Blocks receiveBlocks) {
        @Nullable HostBuffer[] held = new HostBuffer[size]; // by the distance from where a block began to where it goes
        for (int distance = 1; distance < size; distance++) {
            held[distance] = DirectCollectives.block(sendBlocks, send, (me + distance) % size);
        }
        DirectCollectives.copy(
                DirectCollectives.block(sendBlocks, send, me), DirectCollectives.block(receiveBlocks, receive, me));
        for (int step = 1; step < size; step *= 2) {
            int[] passed = passed(step);
            Blocks outBlocks = lengths(held, passed);
            HostBuffer out = HostBuffer.allocate(send.type(), outBlocks.total());
            for (int i = 0; i < passed.length; i++) {
                DirectCollectives.copy(
                        Objects.requireNonNull(held[passed[i]]), DirectCollectives.block(outBlocks, out, i));
            }
            Blocks inBlocks = tag.operation().isRagged() ? theirs(tag, outBlocks, step) : outBlocks;
            HostBuffer in = HostBuffer.allocate(send.type(), inBlocks.total());
            swap(tag, out, in, step);
            for (int i = 0; i < passed.length; i++) {
                HostBuffer block = DirectCollectives.block(inBlocks, in, i);
                boolean there = passed[i] < 2 * step;
                held[passed[i]] = there ? null : block;
                if (there) {
                    arrive(tag, block, receive, receiveBlocks, Math.floorMod(me - passed[i], size));
                }
            }
        }
    }

    /** The distances that have {@code step} among their digits. */
    private int[] passed(int step) {
        return IntStream.range(step, size)
                .filter(distance -> (distance & step) != 0)
                .toArray();
    }

    private static Blocks lengths(@Nullable HostBuffer[] held, int[] passed) {
        return Blocks.of(IntStream.of(passed)
                .mapToLong(distance -> Objects.requireNonNull(held[distance]).length())
                .toArray());
    }

    /** The lengths of what comes in this step, for those of what goes. */
    private Blocks theirs(OperationTag tag, Blocks out, int step) {
        HostBuffer ours = HostBuffer.allocate(DataType.I64, out.ranks());
        HostBuffer theirs = HostBuffer.allocate(DataType.I64, out.ranks());
        Arrays.setAll(ours.longs(), out::count);
        swap(tag, ours, theirs, step);
        long all = 0;
        for (long length : theirs.longs()) {
            if (length < 0 || length > Integer.MAX_VALUE - all) {
                throw mesh.refused(
                        tag, Math.floorMod(me - step, size), "blocks to pass on of more elements than a buffer holds");
            }
            all += length;
        }
        return Blocks.of(theirs.longs());
    }

    private void arrive(OperationTag tag, HostBuffer block, HostBuffer receive, Blocks receiveBlocks, int from) {
        HostBuffer place = DirectCollectives.block(receiveBlocks, receive, from);
        if (block.length() != place.length()) {
            throw mesh.differs(tag.withCount(place.length()), from, tag.withCount(block.length()));
        }
        DirectCollectives.copy(block, place);
    }

    private void swap(OperationTag tag, HostBuffer out, HostBuffer in, int step) {
        mesh.transfer(
                List.of(new Letter(tag, out, (me + step) % size)),
                List.of(new Letter(tag, in, Math.floorMod(me - step, size))));
    }
}
