package org.lockstep.cuda;

import java.io.Serializable;
import org.jspecify.annotations.Nullable;

/**
 * How a rank uses its device. Immutable.
 *
 * @param cublas the library or its path; {@link #NO_CUBLAS} for none; null for the first that is found
 * @param memoryUtilization part of the device's memory that its ranks take at most, in (0, 1]
 * @param ranksPerDevice that share it
 * @param enforceEager whether each step launches its kernels one by one, none is replayed as a CUDA graph
 * @param nccl whether, and how, groups exchange by NCCL
 * @param peer whether they exchange through memory that their devices reach
 */
public record CudaOptions(
        @Nullable String cublas,
        double memoryUtilization,
        int ranksPerDevice,
        boolean enforceEager,
        NcclOptions nccl,
        PeerOptions peer)
        implements Serializable {
    /** All products by kernels of our own: slower for many tokens, and a token has the same bits in every batch. */
    public static final String NO_CUBLAS = "none";

    private static final long MOST_SPARE = 256L << 20;

    /** The first cuBLAS that is found, and nine tenths of a device of one's own. */
    public static final CudaOptions DEFAULT =
            new CudaOptions(null, 0.9, 1, false, NcclOptions.DEFAULT, PeerOptions.DEFAULT);

    public CudaOptions {
        if (!(memoryUtilization > 0 && memoryUtilization <= 1)) {
            throw new IllegalArgumentException("memory utilization (" + memoryUtilization + ") is not in (0, 1]");
        }
        if (ranksPerDevice < 1) {
            throw new IllegalArgumentException("ranks of a device (" + ranksPerDevice + ") must be at least 1");
        }
    }

    /** The same with another library. */
    public CudaOptions withCublas(@Nullable String other) {
        return new CudaOptions(other, memoryUtilization, ranksPerDevice, enforceEager, nccl, peer);
    }

    /** The same with another part of the memory. */
    public CudaOptions withMemoryUtilization(double part) {
        return new CudaOptions(cublas, part, ranksPerDevice, enforceEager, nccl, peer);
    }

    /** The same on a device that so many ranks share. */
    public CudaOptions withRanksPerDevice(int ranks) {
        return new CudaOptions(cublas, memoryUtilization, ranks, enforceEager, nccl, peer);
    }

    /** The same, replaying no step or replaying those that can be. */
    public CudaOptions withEnforceEager(boolean eager) {
        return new CudaOptions(cublas, memoryUtilization, ranksPerDevice, eager, nccl, peer);
    }

    /** The same, with groups that exchange otherwise. */
    public CudaOptions withNccl(NcclOptions other) {
        return new CudaOptions(cublas, memoryUtilization, ranksPerDevice, enforceEager, other, peer);
    }

    /** The same, with groups that use memory of peers otherwise. */
    public CudaOptions withPeer(PeerOptions other) {
        return new CudaOptions(cublas, memoryUtilization, ranksPerDevice, enforceEager, nccl, other);
    }

    /** How groups of ranks exchange, in a few words. */
    public String exchange() {
        return peer.describe(nccl, ranksPerDevice);
    }

    /** Bytes that one of the ranks may hold. */
    public long budget(VisibleDevice device) {
        return Math.min((long) (device.bytes() * memoryUtilization), device.bytes() - spare(device)) / ranksPerDevice;
    }

    /**
     * Bytes that ranks leave free on a device, whatever part of it they may take: for what the driver and NCCL take by themselves when a
     * graph is made or ranks first exchange, after the cache was given what is left. An estimate: neither says it before.
     */
    public static long spare(VisibleDevice device) {
        return Math.min(MOST_SPARE, device.bytes() / 20);
    }
}
