package org.lockstep.cuda;

import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;
import org.lockstep.collective.Identity;

/**
 * Whose memory kernels of a device may read: the device's own always, that of others once it is opened, for as long as both
 * contexts are there. Called on a thread that has entered the device.
 */
record PeerAccess(VisibleDevice seen, CUdevice device, CUcontext context) {
    /** Whether kernels here can read memory of {@code other}. */
    boolean reaches(PeerAccess other) {
        if (isSame(other)) {
            return true;
        }
        int[] can = new int[1];
        CudaError.check(JCudaDriver.cuDeviceCanAccessPeer(can, device, other.device), "cuDeviceCanAccessPeer");
        return can[0] != 0;
    }

    /**
     * Lets kernels here read memory of {@code other}, which it {@link #reaches}.
     *
     * @return false where this one has as many peers as the driver lets it have
     */
    boolean open(PeerAccess other) {
        return isSame(other) || enable(other.context, other.seen);
    }

    /** Whether kernels here may read memory of that device: what this process does not see of it is to be tried. */
    boolean mayReach(Identity.Gpu other) {
        CUdevice found = new CUdevice();
        if (JCudaDriver.cuDeviceGetByPCIBusId(found, other.busId()) != CUresult.CUDA_SUCCESS) {
            return true;
        }
        int[] can = new int[1];
        CudaError.check(JCudaDriver.cuDeviceCanAccessPeer(can, device, found), "cuDeviceCanAccessPeer");
        return can[0] != 0;
    }

    /**
     * Lets kernels here read memory of a device that another rank of this process has open, and which this {@link #mayReach}.
     *
     * @return false where this one has as many peers as the driver lets it have
     */
    boolean open(Identity.Gpu other) {
        CUdevice found = new CUdevice();
        CudaError.check(JCudaDriver.cuDeviceGetByPCIBusId(found, other.busId()), "cuDeviceGetByPCIBusId");
        CUcontext peer = new CUcontext();
        CudaError.check(JCudaDriver.cuDevicePrimaryCtxRetain(peer, found), "cuDevicePrimaryCtxRetain of " + other);
        try {
            return enable(peer, other);
        } finally {
            CudaError.check(JCudaDriver.cuDevicePrimaryCtxRelease(found), "cuDevicePrimaryCtxRelease");
        }
    }

    private boolean enable(CUcontext peer, Object named) {
        int result = JCudaDriver.cuCtxEnablePeerAccess(peer, 0);
        if (result == CUresult.CUDA_ERROR_TOO_MANY_PEERS) {
            return false;
        }
        if (result != CUresult.CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED) { // by another rank of this process
            CudaError.check(result, "cuCtxEnablePeerAccess from " + seen + " to " + named);
        }
        return true;
    }

    private boolean isSame(PeerAccess other) {
        return seen.ordinal() == other.seen.ordinal();
    }
}
