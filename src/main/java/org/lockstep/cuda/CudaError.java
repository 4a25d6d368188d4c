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
            CUresult.CUDA_ERROR_NVLINK_UNCORRECTABLE,
            CUresult.CUDA_ERROR_ILLEGAL_ADDRESS,
            CUresult.CUDA_ERROR_LAUNCH_TIMEOUT,
            CUresult.CUDA_ERROR_ASSERT,
            CUresult.CUDA_ERROR_HARDWARE_STACK_ERROR,
            CUresult.CUDA_ERROR_ILLEGAL_INSTRUCTION,
            CUresult.CUDA_ERROR_MISALIGNED_ADDRESS,
            CUresult.CUDA_ERROR_INVALID_ADDRESS_SPACE,
            CUresult.CUDA_ERROR_INVALID_PC,
            CUresult.CUDA_ERROR_LAUNCH_FAILED);

    /** What to try where a process cannot use the device any more. */
    static final String NEEDS_ANOTHER_PROCESS =
            "this process cannot use the device any more, for the libraries of CUDA hold its"
                    + " context until it ends: between attempts of a run a cluster's executor is replaced, elsewhere start another"
                    + " process; dmesg has the driver's Xid error, nvidia-smi -q what ails the device";

    private CudaError() {}

    /**
     * Passes where {@code result} is success.
     *
     * @throws LockstepException OUT_OF_MEMORY, DEVICE_FAULT, or, where the context is lost to this process, DEVICE_LOST
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
        throw STICKY.contains(result)
                ? LockstepException.report(
                                ErrorCode.DEVICE_LOST, call + ": " + name(result) + ", by this or an earlier kernel")
                        .attempt(NEEDS_ANOTHER_PROCESS)
                        .exception()
                : LockstepException.report(ErrorCode.DEVICE_FAULT, call + ": " + name(result))
                        .attempt("look at dmesg for what the driver says")
                        .exception();
    }

    /** For example {@code CUDA_ERROR_NO_DEVICE (100)}. */
    static String name(int result) {
        return CUresult.stringFor(result) + " (" + result + ")";
    }
}
