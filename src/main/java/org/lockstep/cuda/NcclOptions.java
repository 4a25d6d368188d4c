package org.lockstep.cuda;

import java.io.Serializable;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.topology.ProcessGroup;

/**
 * Whether, and how, groups exchange by NCCL. Immutable.
 *
 * @param use of it
 * @param library the library or its path; null for the first that is found
 * @param maxCtas of a device that the kernels of a group take at most, by the token of its kind, such as {@code tp}; NCCL's own
 *     choice for others
 * @param trafficClass of a group's messages in the network, likewise
 * @param highPriority of queued operations, {@link org.lockstep.collective.Communicator#async}, on their device
 * @param register whether a rank's device memory is registered with its communicators, so that NCCL moves data without copies of
 *     its own. Off where nobody asks for it, as in PyTorch: inside a host NCCL takes memory of {@code cuMemAlloc} only where its
 *     environment says so, against NVIDIA's advice; it helps networks that reach device memory
 * @param shared whether ranks may share a device, each in a process of its own, which NCCL then takes for a host ({@link NcclHost}):
 *     for checks, for it goes over sockets, and the processes take turns on the device
 */
public record NcclOptions(
        Use use,
        @Nullable String library,
        Map<String, Integer> maxCtas,
        Map<String, Integer> trafficClass,
        boolean highPriority,
        boolean register,
        boolean shared)
        implements Serializable {
    /** Where there is one, and each rank has a device of its own. */
    public static final NcclOptions DEFAULT = new NcclOptions(Use.AUTO, null, Map.of(), Map.of(), false, false, false);

    /** Never. */
    public static final NcclOptions NONE = new NcclOptions(Use.OFF, null, Map.of(), Map.of(), false, false, false);

    public NcclOptions {
        maxCtas = Map.copyOf(maxCtas);
        trafficClass = Map.copyOf(trafficClass);
    }

    /** The same, used otherwise. */
    public NcclOptions withUse(Use other) {
        return new NcclOptions(other, library, maxCtas, trafficClass, highPriority, register, shared);
    }

    /** The same for ranks that may share a device, or not. */
    public NcclOptions withShared(boolean may) {
        return new NcclOptions(use, library, maxCtas, trafficClass, highPriority, register, may);
    }

    /** Whether groups of ranks exchange by NCCL where there is one, so many to a device. */
    boolean isFor(int ranksPerDevice) {
        return use == Use.ON || (use == Use.AUTO && (ranksPerDevice == 1 || shared));
    }

    /** How groups of ranks exchange, so many to a device, in a few words. */
    public String describe(int ranksPerDevice) {
        String byNccl = "groups by NCCL" + (library == null ? "" : " (" + library + ")")
                + (register ? " from registered memory" : "");
        return switch (use) {
            case ON -> byNccl;
            case OFF -> "groups through the host";
            case AUTO ->
                isFor(ranksPerDevice)
                        ? byNccl + " where there is one, else through the host"
                        : "groups through the host";
        };
    }

    NcclConfig config(ProcessGroup group) {
        return new NcclConfig(of(group, maxCtas), of(group, trafficClass));
    }

    private static OptionalInt of(ProcessGroup group, Map<String, Integer> kinds) {
        Integer own = kinds.get(group.name());
        return own == null ? OptionalInt.empty() : OptionalInt.of(own);
    }

    /**
     * The library that ranks of a device are to use, if any.
     *
     * @param ranksPerDevice NCCL refuses more than one, of one host
     * @throws LockstepException NO_LIBRARY where it is asked for and does not load; USAGE where it is asked for and would
     *     refuse; NO_EFFECT where it is too old for a traffic class, or registered memory, that is asked for
     */
    Optional<NcclLibrary> find(int ranksPerDevice, Map<String, String> environment) {
        if (!isFor(ranksPerDevice)) {
            return Optional.empty();
        }
        if (ranksPerDevice > 1 && !shared) {
            throw LockstepException.report(
                            ErrorCode.USAGE, "NCCL is for one rank to a device, here " + ranksPerDevice + " share one")
                    .attempt("as many devices as ranks, or no NCCL: groups then exchange otherwise")
                    .exception();
        }
        try {
            NcclLibrary found = NcclLibrary.open(Optional.ofNullable(library), environment);
            if (!trafficClass.isEmpty()) {
                found.requireTrafficClass();
            }
            if (register) {
                found.requireRegister();
            }
            if (ranksPerDevice > 1) {
                NcclHost.separate();
            }
            return Optional.of(found);
        } catch (LockstepException nowhere) {
            if (use == Use.AUTO && library == null && nowhere.code() == ErrorCode.NO_LIBRARY) {
                return Optional.empty();
            }
            throw nowhere;
        }
    }
}
