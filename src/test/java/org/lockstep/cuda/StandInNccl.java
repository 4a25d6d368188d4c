package org.lockstep.cuda;

import com.sun.jna.NativeLibrary;

/** What the stand-in for NCCL has beside NCCL's functions. */
final class StandInNccl {
    private final NativeLibrary library;

    private StandInNccl(NativeLibrary library) {
        this.library = library;
    }

    /** The one that this process has loaded; only where its driver is the stand-in too. */
    static StandInNccl require() {
        StandIn.require();
        return new StandInNccl(NativeLibrary.getInstance("libnccl.so.2"));
    }

    /** A rank that is as if its process stood still, in each group that it is in; -1 for none. */
    void lose(int rank) {
        library.getFunction("standin_nccl_lose").invokeInt(new Object[] {rank});
    }

    /** Lets the operation after so many more be the one at which the network fails; -1 for none. */
    void failAfter(long operations) {
        failAfter(operations, 6);
    }

    /** The same with another result. */
    void failAfter(long operations, int result) {
        library.getFunction("standin_nccl_fail").invokeInt(new Object[] {operations, result});
    }

    /**
     * Whether ranks are connected by the first calls that need it, which then wait for each other on the host, as NCCL has it from
     * 2.22 on; all ranks of a group must have it alike.
     */
    void setLazy(boolean lazy) {
        library.getFunction("standin_nccl_lazy").invokeInt(new Object[] {lazy ? 1 : 0});
    }

    /** The version that it tells from now on, such as 22800; a library that was opened before has the old. */
    void setVersion(int told) {
        library.getFunction("standin_nccl_version").invokeInt(new Object[] {told});
    }

    /** Communicators that nobody has ended, of such a config. */
    long communicators(NcclConfig config) {
        Object[] told = {
            config.maxCtas().orElse(Integer.MIN_VALUE), config.trafficClass().orElse(Integer.MIN_VALUE)
        };
        return library.getFunction("standin_nccl_configured").invokeLong(told);
    }

    /** Ranges of memory that are registered with communicators that nobody has ended. */
    long registered() {
        return library.getFunction("standin_nccl_registered").invokeLong(new Object[0]);
    }

    /** Whether who calls an operation is held inside from now on, as where the driver's queue is full. */
    void hold(boolean holds) {
        library.getFunction("standin_nccl_hold").invokeInt(new Object[] {holds ? 1 : 0});
    }

    /** Whether who aborts or destroys a communicator is held inside from now on. */
    void holdEnds(boolean holds) {
        library.getFunction("standin_nccl_hold_ends").invokeInt(new Object[] {holds ? 1 : 0});
    }

    /** A rank whose init does not return from now on, as where the driver under it stands still; -1 for none. */
    void holdInit(int rank) {
        library.getFunction("standin_nccl_hold_init").invokeInt(new Object[] {rank});
    }

    /** A rank that is still in its init from now on, when those of others are over; -1 for none. */
    void makeLate(int rank) {
        library.getFunction("standin_nccl_late").invokeInt(new Object[] {rank});
    }

    /** Threads that are held in operations. */
    long inside() {
        return library.getFunction("standin_nccl_inside").invokeLong(new Object[0]);
    }

    /** Calls that met a communicator which another thread was ending. */
    long misuses() {
        return library.getFunction("standin_nccl_misuses").invokeLong(new Object[0]);
    }

    /** Communicators that nobody has ended, or that graphs keep from their end. */
    long communicators() {
        return library.getFunction("standin_nccl_communicators").invokeLong(new Object[0]);
    }
}
