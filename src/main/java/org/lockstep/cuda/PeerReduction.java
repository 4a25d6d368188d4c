package org.lockstep.cuda;

import java.nio.IntBuffer;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.ReduceOp;

/**
 * Reduces what several ranks offer into memory of this one, on its stream: the kernels of {@code reduce.cu}, whose results have the
 * bits of the host's. Thread-safe: groups of a rank that have threads of their own share it.
 */
final class PeerReduction implements AutoCloseable {
    static final String SOURCE = "reduce";

    /** Ranks that the kernels join at most. */
    static final int MOST = 15;

    private static final int THREADS = 256;
    private static final long[] NOTHING = {};
    private static final int INTS = 4; // of a source: an address and a factor

    private final CudaDevice device;
    private final KernelModule kernels;
    private @Nullable DeviceInts table;
    private long address;
    private long[] told = NOTHING; // what the table has

    PeerReduction(CudaDevice device, KernelModule kernels) {
        this.device = device;
        this.kernels = kernels;
    }

    /** What the kernels call it. */
    static int number(ReduceOp.Kind kind) {
        return switch (kind) {
            case SUM, AVG -> 0;
            case PRODUCT -> 1;
            case MIN -> 2;
            case MAX -> 3;
            case PREMULTIPLIED_SUM -> 4;
        };
    }

    /** By what the kernels divide in the end. */
    static int divisor(ReduceOp.Kind kind, int ranks) {
        return kind == ReduceOp.Kind.AVG ? ranks : 1;
    }

    /**
     * Queues the reduction of the elements from {@code from} on of all that is offered.
     *
     * @param offers by rank, of the type of {@code target}
     * @param target may be those very elements of one of them
     */
    synchronized void reduce(List<PeerGroup.Offer> offers, long from, DeviceBuffer target, ReduceOp.Kind op) {
        long[] sources = new long[2 * offers.size()];
        for (int rank = 0; rank < offers.size(); rank++) {
            PeerGroup.Offer offer = offers.get(rank);
            DeviceBuffer send = offer.send();
            sources[2 * rank] = send == null ? 0 : send.address();
            sources[2 * rank + 1] = Double.doubleToRawLongBits(offer.factor());
        }
        kernels.with()
                .pointer(tell(sources, target.arena()))
                .number(offers.size())
                .wide(from)
                .wide(target.length())
                .number(number(op))
                .number(divisor(op, offers.size()))
                .pointer(target.address())
                .launch(SOURCE + "_" + target.type(), DeviceProduct.blocks(target.length()), THREADS);
    }

    /** Where the kernels find them. A step's buffers stay where they are, so most of the time they are there already. */
    private long tell(long[] sources, DeviceArena arena) {
        DeviceInts ints = table;
        if (ints == null) {
            ints = new DeviceInts(device, arena, () -> {});
            table = ints;
        }
        if (!Arrays.equals(told, sources)) {
            told = NOTHING; // until all of it is there
            IntBuffer room = ints.begin(INTS * sources.length / 2);
            for (long word : sources) {
                room.put((int) word).put((int) (word >>> Integer.SIZE));
            }
            address = ints.end();
            told = sources;
        }
        return address;
    }

    /** The device must be done with it; its memory on the device goes with the arena. */
    @Override
    public synchronized void close() {
        try (kernels) {
            DeviceInts ints = table;
            if (ints != null) {
                ints.close();
            }
        }
    }
}
