package org.lockstep.cpu;

import java.util.ArrayList;
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
 * some of them. Where blocks are of unequal length the lengths go the same ways first: log steps more, of 8 bytes for each block
 * passed on. What passes through a rank then, and its room, depend on what others send, up to what one buffer holds in a step; and
 * since a rank may wait for one that passes on the blocks of others, the time of each is that of the rank with the most bytes.
 *
 * <p>That a block is longer or shorter than its rank awaits only that rank can tell; the others are told while they wait for it, or
 * in what they call next.
 */
final class BruckAllToAll {
    private static final long MOST_BYTES = 8L * Integer.MAX_VALUE; // of a buffer

    private final Mesh mesh;
    private final int me;
    private final int size;

    BruckAllToAll(Mesh mesh) {
        this.mesh = mesh;
        this.me = mesh.rank();
        this.size = mesh.size();
    }

    /**
     * A step.
     *
     * @param distance to the rank that blocks go to
     * @param out their lengths
     * @param in of those that come from the rank as far away on the other side
     */
    private record Step(int distance, Blocks out, Blocks in) {}

    /** The part of this rank, which is in the operation of this tag with all others. */
    void run(OperationTag tag, HostBuffer send, Blocks sendBlocks, HostBuffer receive, Blocks receiveBlocks) {
        List<Step> steps = steps(tag, sendBlocks, receiveBlocks, Math.max(send.bytes(), receive.bytes()));
        @Nullable HostBuffer[] held = new HostBuffer[size]; // by the distance from where a block began to where it goes
        for (int distance = 1; distance < size; distance++) {
            held[distance] = DirectCollectives.block(sendBlocks, send, (me + distance) % size);
        }
        DirectCollectives.copy(
                DirectCollectives.block(sendBlocks, send, me), DirectCollectives.block(receiveBlocks, receive, me));
        for (Step step : steps) {
            int[] passed = passed(step.distance);
            HostBuffer out = HostBuffer.allocate(send.type(), step.out.total());
            for (int i = 0; i < passed.length; i++) {
                DirectCollectives.copy(
                        Objects.requireNonNull(held[passed[i]]), DirectCollectives.block(step.out, out, i));
            }
            HostBuffer in = HostBuffer.allocate(send.type(), step.in.total());
            swap(tag, out, in, step.distance);
            for (int i = 0; i < passed.length; i++) {
                HostBuffer block = DirectCollectives.block(step.in, in, i);
                boolean there = passed[i] < 2 * step.distance;
                held[passed[i]] = there ? null : block;
                if (there) {
                    DirectCollectives.copy(
                            block,
                            DirectCollectives.block(receiveBlocks, receive, Math.floorMod(me - passed[i], size)));
                }
            }
        }
    }

    /** The steps, by the lengths of all blocks that come by; before them nobody waits for elements. */
    private List<Step> steps(OperationTag tag, Blocks sendBlocks, Blocks receiveBlocks, long bytes) {
        List<Step> steps = new ArrayList<>();
        long[] lengths = new long[size]; // as the blocks are held
        Arrays.setAll(lengths, distance -> sendBlocks.count((me + distance) % size));
        long most = bytes; // of any rank that is known of
        for (int step = 1; step < size; step *= 2) {
            int[] passed = passed(step);
            long[] ours = new long[passed.length];
            Arrays.setAll(ours, i -> lengths[passed[i]]);
            long[] theirs = ours;
            if (tag.operation().isRagged()) {
                long[] told = told(tag, ours, most, step);
                theirs = Arrays.copyOf(told, ours.length);
                most = Math.max(most, told[ours.length]);
            }
            for (int i = 0; i < passed.length; i++) {
                lengths[passed[i]] = theirs[i];
            }
            steps.add(new Step(step, Blocks.of(ours), Blocks.of(theirs)));
        }
        for (int distance = 1; distance < size; distance++) {
            requireLength(tag, lengths[distance], receiveBlocks, Math.floorMod(me - distance, size));
        }
        mesh.moves(steps.size() * most - bytes);
        return steps;
    }

    /** The distances that have {@code step} among their digits. */
    private int[] passed(int step) {
        return IntStream.range(step, size)
                .filter(distance -> (distance & step) != 0)
                .toArray();
    }

    /** What the rank of a step says for what is said to the other: the lengths of blocks, then the most bytes of any rank. */
    private long[] told(OperationTag tag, long[] lengths, long most, int step) {
        HostBuffer ours = HostBuffer.allocate(DataType.I64, lengths.length + 1L);
        HostBuffer theirs = HostBuffer.allocate(DataType.I64, ours.length());
        System.arraycopy(lengths, 0, ours.longs(), 0, lengths.length);
        ours.longs()[lengths.length] = most;
        swap(tag, ours, theirs, step);
        long[] told = theirs.longs();
        int from = Math.floorMod(me - step, size);
        long all = 0;
        for (int i = 0; i < lengths.length; i++) {
            if (told[i] < 0 || told[i] > Integer.MAX_VALUE - all) {
                throw mesh.refused(tag, from, "blocks to pass on of more elements than a buffer holds");
            }
            all += told[i];
        }
        if (told[lengths.length] < 0 || told[lengths.length] > MOST_BYTES) {
            throw mesh.refused(
                    tag, from, "that a rank moves " + told[lengths.length] + " bytes, more than a buffer has");
        }
        return told;
    }

    private void requireLength(OperationTag tag, long length, Blocks receiveBlocks, int from) {
        if (length != receiveBlocks.count(from)) {
            throw mesh.differs(tag.withCount(receiveBlocks.count(from)), from, tag.withCount(length));
        }
    }

    private void swap(OperationTag tag, HostBuffer out, HostBuffer in, int step) {
        mesh.transfer(
                List.of(new Letter(tag, out, (me + step) % size)),
                List.of(new Letter(tag, in, Math.floorMod(me - step, size))));
    }
}
