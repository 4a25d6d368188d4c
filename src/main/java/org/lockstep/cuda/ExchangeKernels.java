package org.lockstep.cuda;

import java.util.List;
import jcuda.driver.CUstream;
import org.lockstep.tensor.DataType;

/** The kernels of {@code exchange.cu} on one rank's device. Thread-safe: groups of a rank that have threads of their own share them. */
final class ExchangeKernels implements AutoCloseable {
    private static final String SOURCE = "exchange";
    private static final int THREADS = 256;
    private static final int MOST_BLOCKS =
            36; // with which vLLM's keeps NVLink busy, and which are on any device at once

    private final KernelModule kernels;

    private ExchangeKernels(KernelModule kernels) {
        this.kernels = kernels;
    }

    static ExchangeKernels load(CudaDevice device) {
        return new ExchangeKernels(KernelModule.load(device, List.of(SOURCE)));
    }

    private static String entry(DataType type) {
        return SOURCE + "_" + type;
    }

    /**
     * Queues an all-reduce of what all ranks bring, which lies there by then.
     *
     * @param stream of the device
     * @param mine the address of this rank's memory for it
     * @param twoShots whether each rank joins a share, and then reads the others'
     * @param told that of the words in the host's memory
     */
    synchronized void launch(
            CUstream stream,
            long mine,
            int me,
            int ranks,
            long capacity,
            ExchangeCall call,
            double factor,
            boolean twoShots,
            long told,
            long out) {
        kernels.with()
                .pointer(mine)
                .number(me)
                .number(ranks)
                .wide(call.count())
                .wide(capacity)
                .number(PeerReduction.number(call.op()))
                .number(PeerReduction.divisor(call.op(), ranks))
                .wide(Double.doubleToRawLongBits(factor))
                .number(twoShots ? 1 : 0)
                .number(call.fingerprint())
                .pointer(told)
                .pointer(out)
                .launch(entry(call.type()), blocks(call.count()), THREADS, stream);
    }

    /** At least one, which meets those of other ranks though there is nothing to join. */
    private static int blocks(long count) {
        return Math.min(MOST_BLOCKS, Math.max(1, DeviceProduct.blocks(count)));
    }

    /** The device must be done with them. */
    @Override
    public synchronized void close() {
        kernels.close();
    }
}
