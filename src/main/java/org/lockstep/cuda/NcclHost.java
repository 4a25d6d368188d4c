package org.lockstep.cuda;

import com.sun.jna.Function;
import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import java.lang.management.ManagementFactory;
import java.util.Map;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * What this process is to NCCL, which refuses two ranks on one device of one host: a host of its own, where checks want that.
 *
 * <p>NCCL reads it from the environment at its first communicator, once: C's {@code setenv} is heard, where Java's view of the
 * environment does not change.
 */
final class NcclHost {
    private NcclHost() {}

    /** What to set, where the environment does not say otherwise: such ranks reach each other over sockets of their one host. */
    private static Map<String, String> variables() {
        String process = ManagementFactory.getRuntimeMXBean().getName(); // of number and host
        return Map.of("NCCL_HOSTID", "lockstep-" + process, "NCCL_SOCKET_IFNAME", "lo");
    }

    /**
     * Makes the process one of its own. To be called before it makes its first communicator. Idempotent.
     *
     * @throws LockstepException INTERNAL where C refuses
     */
    static void separate() {
        Function setenv = NativeLibrary.getProcess().getFunction("setenv");
        variables().forEach((name, value) -> {
            int keep = 0;
            if (setenv.invokeInt(new Object[] {name, value, keep}) != 0) {
                throw LockstepException.report(
                                ErrorCode.INTERNAL, "setenv of " + name + " failed, errno " + Native.getLastError())
                        .attempt("set it in the environment of each process")
                        .exception();
            }
        });
    }
}
