package org.lockstep.cuda;

import com.sun.jna.Function;
import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.Map;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Roster;
import org.lockstep.topology.ProcessGroup;

/**
 * What this process is to NCCL, which refuses two ranks on one device of one host: a host of its own, where checks want that.
 *
 * <p>NCCL reads it from the environment at its first communicator, once: C's {@code setenv} is heard, where Java's view of the
 * environment does not change.
 */
final class NcclHost {
    private static final String INTERFACE = "NCCL_SOCKET_IFNAME";

    private NcclHost() {}

    /** What to set, where the environment does not say otherwise: such ranks reach each other over sockets of their one host. */
    private static Map<String, String> variables() {
        String process = ManagementFactory.getRuntimeMXBean().getName(); // of number and host
        return Map.of("NCCL_HOSTID", "lockstep-" + process, INTERFACE, "lo");
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

    /**
     * That ranks which were made hosts of their own reach each other: over the loopback interface those of one host do. All
     * ranks of the group find alike.
     *
     * @param group that is to exchange
     * @param environment of the process, before {@link #separate}
     * @throws LockstepException NO_EFFECT where they are of several
     */
    static void requireOne(ProcessGroup group, Roster roster, Map<String, String> environment) {
        List<String> hosts = group.stream()
                .mapToObj(rank -> roster.hello(rank).identity())
                .map(each ->
                        each.hostName() + " (boot " + Long.toHexString(each.bootId()) + ")") // names may be the same
                .distinct()
                .toList();
        if (hosts.size() > 1 && !environment.containsKey(INTERFACE)) {
            throw LockstepException.report(
                            ErrorCode.NO_EFFECT,
                            "ranks of " + group
                                    + " share devices, and exchange by NCCL over the loopback interface, which does"
                                    + " not join their hosts " + String.join(", ", hosts))
                    .attempt("spark.executorEnv." + INTERFACE
                            + " = the interface between them, or executors of one host,"
                            + " or spark.lockstep.nccl.sharedGpu=false")
                    .exception();
        }
    }
}
