package org.lockstep.cuda;

import java.lang.reflect.Field;
import jcuda.JCudaVersion;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUipcMemHandle;
import jcuda.driver.CUipcMem_flags;
import jcuda.driver.JCudaDriver;

/**
 * Device memory that another process maps (CUDA IPC), between threads that have entered their devices. A whole allocation goes: of
 * less than 2 MiB the driver's block that it lies in.
 */
final class CudaIpc {
    /** Of a handle. */
    static final int BYTES = 64;

    private CudaIpc() {}

    /** The handle by which others map an allocation of the driver's; of zeros, which nobody can open, where the device has none. */
    static byte[] export(long address) {
        CUipcMemHandle handle = new CUipcMemHandle();
        int result = JCudaDriver.cuIpcGetMemHandle(handle, Raw.device(address));
        return result == 0 ? bytes(handle).clone() : new byte[BYTES];
    }

    /** Where memory of another process is here, until {@link #close}; 0 where it cannot be reached. */
    static long open(byte[] handle) {
        CUipcMemHandle theirs = new CUipcMemHandle();
        System.arraycopy(handle, 0, bytes(theirs), 0, BYTES);
        CUdeviceptr made = new CUdeviceptr();
        int result = JCudaDriver.cuIpcOpenMemHandle(made, theirs, CUipcMem_flags.CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS);
        return result == 0 ? Raw.address(made) : 0;
    }

    static void close(long address) {
        CudaError.check(JCudaDriver.cuIpcCloseMemHandle(Raw.device(address)), "cuIpcCloseMemHandle");
    }

    /** JCuda keeps them to itself. */
    private static byte[] bytes(CUipcMemHandle handle) {
        try {
            Field field = CUipcMemHandle.class.getDeclaredField("reserved");
            field.setAccessible(true);
            return (byte[]) field.get(handle);
        } catch (ReflectiveOperationException other) {
            throw new IllegalStateException(
                    "JCuda " + JCudaVersion.get() + " has the bytes of a handle elsewhere", other);
        }
    }
}
