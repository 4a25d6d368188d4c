package org.lockstep.cuda;

import com.sun.jna.Structure;
import org.jspecify.annotations.Nullable;

/**
 * The functions of NCCL 2.18 that are used, mapped directly: pointers, handles and sizes are their numbers. They belong to the
 * process: it has one NCCL. The names are NVIDIA's; what later versions added is never here, for a class binds all its functions
 * or none ({@link NcclFunctions219}).
 */
final class NcclFunctions {
    private NcclFunctions() {}

    /** {@code ncclUniqueId}, which goes by value. */
    @Structure.FieldOrder("internal")
    public static final class Id extends Structure implements Structure.ByValue {
        public byte[] internal = new byte[128];
    }

    static native int ncclGetVersion(long version);

    static native int ncclGetUniqueId(long id);

    static native String ncclGetErrorString(int result);

    static native @Nullable String ncclGetLastError(long communicator);

    static native int ncclCommInitRankConfig(long communicator, int ranks, Id id, int rank, long config);

    static native int ncclCommGetAsyncError(long communicator, long result);

    static native int ncclCommFinalize(long communicator);

    static native int ncclCommDestroy(long communicator);

    static native int ncclCommAbort(long communicator);

    static native int ncclGroupStart();

    static native int ncclGroupEnd();

    static native int ncclRedOpCreatePreMulSum(long op, long scalar, int type, int residence, long communicator);

    static native int ncclRedOpDestroy(int op, long communicator);

    static native int ncclAllReduce(
            long send, long receive, long count, int type, int op, long communicator, long stream);

    static native int ncclReduce(
            long send, long receive, long count, int type, int op, int root, long communicator, long stream);

    static native int ncclBroadcast(
            long send, long receive, long count, int type, int root, long communicator, long stream);

    static native int ncclAllGather(long send, long receive, long count, int type, long communicator, long stream);

    static native int ncclReduceScatter(
            long send, long receive, long count, int type, int op, long communicator, long stream);

    static native int ncclSend(long buffer, long count, int type, int peer, long communicator, long stream);

    static native int ncclRecv(long buffer, long count, int type, int peer, long communicator, long stream);
}
