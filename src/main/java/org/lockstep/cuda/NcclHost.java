package org.lockstep.cuda;

import com.sun.jna.Function;
import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Roster;
import org.lockstep.topology.ProcessGroup;

/**
 * What this process is to NCCL, which refuses two ranks on one device of one host: a host of its own, where checks want that.
 *
 * <p>NCCL reads it from the environment at its first communicator, once: C's {@code setenv} is heard, where Java's view of the
 * environment does not change. For checks alone: C's environment is not to be changed while another thread may read it, as the driver
 * and the JVM do, so that elsewhere which interface NCCL meets over is for the environment to say that a process is started with.
 */
final class NcclHost {
    private static final String INTERFACE = "NCCL_SOCKET_IFNAME";
    private static final String OURS = "lockstep-";

    /** By chance: number, host name and start of a process may be those of one in another container. */
    private static final UUID PROCESS = UUID.randomUUID();

    private NcclHost() {}

    /** A device in a process: two ranks of one place NCCL refuses together, whatever a host is to it. */
    record Place(UUID process, int device) {}

    /** What to set, where the environment does not say otherwise: such ranks reach each other over sockets of their one host. */
    private static Map<String, String> variables() {
        return Map.of("NCCL_HOSTID", OURS + PROCESS, INTERFACE, "lo"); // of which NCCL takes 64 bits of a hash
    }

    static Place place(VisibleDevice device) {
        return new Place(PROCESS, device.ordinal());
    }

    /**
     * Makes the process one of its own. To be called before it makes its first communicator. Idempotent.
     *
     * @throws LockstepException INTERNAL where C refuses
     */
    static void separate() {
        Function setenv = NativeLibrary.getProcess().getFunction("setenv");
        variables().forEach((name, value) -> {
            String said = System.getenv(name);
            boolean replaces = said != null && said.startsWith(OURS); // of the process that started this one
            if (setenv.invokeInt(new Object[] {name, value, replaces ? 1 : 0}) != 0) {
                throw LockstepException.report(
                                ErrorCode.INTERNAL, "setenv of " + name + " failed, errno " + Native.getLastError())
                        .attempt("set it in the environment of each process")
                        .exception();
            }
        });
    }

    /** Whether NCCL, of 2.30.3 or newer, was told to let ranks share a device: an experiment of its makers. */
    static boolean mayShare(Map<String, String> environment) {
        return "1".equals(environment.get("NCCL_MULTI_RANK_GPU_ENABLE"));
    }

    /** Two ranks of a group share a device, and their process: no setting makes hosts of their own of them. */
    static LockstepException refused(ProcessGroup group, int one, int other) {
        return LockstepException.report(
                        ErrorCode.USAGE,
                        "ranks " + one + " and " + other + " of " + group
                                + " share a device and are of one process, and NCCL takes only a process for a host of its own")
                .attempt("one rank to an executor (spark.executor.cores = spark.task.cpus), or"
                        + " spark.lockstep.nccl.sharedGpu=false: ranks of one executor then read each other's memory")
                .exception();
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
