package org.lockstep.cuda;

import java.util.Set;
import jcuda.driver.CUresult;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/** What the driver's result codes become. */
final class CudaError {
    /** After these the process has no working context any more. */
    private static final Set<Integer> STICKY = Set.of(
            CUresult.CUDA_ERROR_ECC_UNCORRECTABLE,
            CUresult.CUDA_ERROR_ILLEGAL_ADDRESS,
            CUresult.CUDA_ERROR_LAUNCH_TIMEOUT,
            CUresult.CUDA_ERROR_ASSERT,
            CUresult.CUDA_ERROR_HARDWARE_STACK_ERROR,
            CUresult.CUDA_ERROR_ILLEGAL_INSTRUCTION,
            CUresult.CUDA_ERROR_MISALIGNED_ADDRESS,
            CUresult.CUDA_ERROR_INVALID_ADDRESS_SPACE,
            CUresult.CUDA_ERROR_INVALID_PC,
            CUresult.CUDA_ERROR_LAUNCH_FAILED);

    private CudaError() {}

    /**
     * Passes where {@code result} is success.
     *
     * @throws LockstepException OUT_OF_MEMORY or DEVICE_FAULT
     */
    static void check(int result, String call) {
        if (result == CUresult.CUDA_SUCCESS) {
            return;
        }
        if (result == CUresult.CUDA_ERROR_OUT_OF_MEMORY) {
            throw LockstepException.report(ErrorCode.OUT_OF_MEMORY, call + ": the device has no memory left")
                    .attempt("a smaller --gpu-memory-utilization leaves the driver more")
                    .exception();
        }
        throw LockstepException.report(
                        ErrorCode.DEVICE_FAULT,
                        call + ": " + name(result) + (isSticky(result) ? ", by this or an earlier kernel" : ""))
                .attempt(
                        isSticky(result)
                                ? "this process cannot use the device any more: end the executor, and look at dmesg for"
                                        + " Xid errors of the driver"
                                : "look at dmesg for what the driver says")
                .exception();
    }

    static boolean isSticky(int result) {
        return STICKY.contains(result);
    }

    /** For example {@code CUDA_ERROR_NO_DEVICE (100)}. */
    static String name(int result) {
        return CUresult.stringFor(result) + " (" + result + ")";
    }
}
