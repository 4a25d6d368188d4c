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
        library.getFunction("standin_nccl_fail").invokeInt(new Object[] {operations});
    }

    /** Communicators that nobody has ended. */
    long communicators() {
        return library.getFunction("standin_nccl_communicators").invokeLong(new Object[0]);
    }
}
