package org.lockstep.cuda;

/** What NCCL 2.19 added, as {@link NcclFunctions}; bound where the library has {@link NcclLibrary.Capability#REGISTER}. */
final class NcclFunctions219 {
    private NcclFunctions219() {}

    static native int ncclCommRegister(long communicator, long buffer, long size, long handle);

    static native int ncclCommDeregister(long communicator, long handle);
}
