package org.lockstep.cuda;

import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/** What NCCL's result codes become: whose fault it is, with NCCL's own words. */
final class NcclResult {
    static final int SUCCESS = 0;
    static final int IN_PROGRESS = 7;

    private static final int CUDA_ERROR = 1;
    private static final int SYSTEM_ERROR = 2;
    private static final int INVALID_ARGUMENT = 4;
    private static final int INVALID_USAGE = 5;
    private static final int REMOTE_ERROR = 6;
    private static final int TIMEOUT = 8; // from 2.30.3 on

    private NcclResult() {}

    /**
     * Passes where {@code result} is success, or a call that goes on by itself.
     *
     * @throws LockstepException as {@link #exception}
     */
    static void check(int result, String call) {
        if (result != SUCCESS && result != IN_PROGRESS) {
            throw exception(result, call);
        }
    }

    /**
     * The failure of {@code call}: DEVICE_FAULT is the device's or the host's, COLLECTIVE_MISMATCH the callers', PEER_LOST the
     * peer's, INTERNAL NCCL's own.
     */
    static LockstepException exception(int result, String call) {
        String last = NcclFunctions.ncclGetLastError(0);
        String detail = last == null ? "" : last.strip();
        return LockstepException.report(
                        code(result),
                        call + ": " + NcclFunctions.ncclGetErrorString(result) + " (" + result + ")"
                                + (detail.isEmpty() ? "" : ": " + detail))
                .attempt(advice(result))
                .exception();
    }

    private static ErrorCode code(int result) {
        return switch (result) {
            case CUDA_ERROR, SYSTEM_ERROR -> ErrorCode.DEVICE_FAULT;
            case INVALID_ARGUMENT, INVALID_USAGE -> ErrorCode.COLLECTIVE_MISMATCH;
            case REMOTE_ERROR -> ErrorCode.PEER_LOST;
            case TIMEOUT -> ErrorCode.COLLECTIVE_TIMEOUT;
            default -> ErrorCode.INTERNAL;
        };
    }

    private static String advice(int result) {
        return switch (result) {
            case INVALID_ARGUMENT, INVALID_USAGE ->
                "all ranks of a group must call the same operations in the same order, each on a device of its own";
            case REMOTE_ERROR, TIMEOUT -> "see the log of the rank that went first";
            default -> "NCCL_DEBUG=INFO in the environment of the executors, and their logs";
        };
    }
}
