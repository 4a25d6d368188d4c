package org.lockstep.cuda;

import com.sun.jna.Memory;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.UniqueId;
import org.lockstep.tensor.DataType;

/**
 * The host's own NCCL, 2.18 or newer, wherever it is: among the system's libraries, in a toolkit, or among the packages of a
 * Python. Immutable.
 *
 * <p>It needs no device to be found, to tell its version, and to make ids.
 */
final class NcclLibrary {
    /** The environment's say. */
    static final String VARIABLE = "LOCKSTEP_NCCL";

    /** Splitting, and configurations that last: 2.18. */
    static final int OLDEST = 21_800;

    /** A traffic class of each communicator: 2.26. */
    static final int TRAFFIC_CLASS = 22_600;

    /** 8-bit floating types: 2.24. */
    static final int FP8 = 22_400;

    private static final int FP8_MAJOR = 9; // NCCL's kernels for them are of devices from there on
    private static final String NAME = "libnccl.so.2";
    private static final String COMMON_ID = "NCCL_COMM_ID";
    private static final String BLOCKING = "NCCL_COMM_BLOCKING";
    private static final List<String> IN_PACKAGES = List.of("nvidia/nccl/lib/" + NAME, "nvidia/cu13/lib/" + NAME);

    private final String found;
    private final int version;
    private final Set<Capability> capabilities;

    /** What a library can do that not every one can, known by the function that does it. */
    enum Capability {
        SPLIT("ncclCommSplit"),
        REGISTER("ncclCommRegister"),
        ALLOCATE("ncclMemAlloc"),
        SCALABLE_INIT("ncclCommInitRankScalable"),
        SHRINK("ncclCommShrink"),
        ALL_TO_ALL("ncclAlltoAll"),
        GATHER("ncclGather"),
        SCATTER("ncclScatter"),
        REVOKE("ncclCommRevoke");

        private final String function;

        Capability(String function) {
            this.function = function;
        }
    }

    NcclLibrary(String found, int version, Set<Capability> capabilities) {
        this.found = found;
        this.version = version;
        this.capabilities = Set.copyOf(capabilities);
    }

    /**
     * Binds the first that there is: the one given, or else the environment's, a plain name, a file in a usual place.
     *
     * @param given a path or a name; nothing else is tried then
     * @param environment of the process
     * @throws LockstepException NO_LIBRARY with all that was tried, or where it is too old; NO_EFFECT if the environment would
     *     have all communicators of the process meet at one address, or their calls wait inside where no deadline ends them
     */
    static NcclLibrary open(Optional<String> given, Map<String, String> environment) {
        if (environment.containsKey(COMMON_ID)) {
            throw refused(
                    COMMON_ID, environment, "makes all communicators of a process one; groups have ids of their own");
        }
        if ("1".equals(environment.getOrDefault(BLOCKING, "").strip())) {
            throw refused(
                    BLOCKING,
                    environment,
                    "lets NCCL's calls wait for other ranks inside, where neither a deadline nor an abort ends them");
        }
        Optional<String> asked = given.or(() -> Optional.ofNullable(environment.get(VARIABLE)));
        List<String> tried = new ArrayList<>();
        for (String candidate : asked.map(List::of).orElseGet(() -> candidates(environment))) {
            try {
                NativeLibrary library = NativeLibrary.getInstance(candidate);
                Binding.of(NcclFunctions.class, library);
                return of(candidate, library);
            } catch (LinkageError e) {
                tried.add(LibrarySearch.refusal(candidate, e));
            }
        }
        throw LockstepException.report(ErrorCode.NO_LIBRARY, "no NCCL loads: " + String.join("; ", tried))
                .attempt(VARIABLE + " = the path of a libnccl.so.2 of " + name(OLDEST) + " or newer")
                .exception();
    }

    private static LockstepException refused(String variable, Map<String, String> environment, String why) {
        return LockstepException.report(ErrorCode.NO_EFFECT, variable + "=" + environment.get(variable) + " " + why)
                .attempt("unset " + variable + " in the environment of the executors")
                .exception();
    }

    private static NcclLibrary of(String candidate, NativeLibrary library) {
        int version;
        try (Memory memory = new Memory(Integer.BYTES)) {
            NcclResult.check(NcclFunctions.ncclGetVersion(Pointer.nativeValue(memory)), "ncclGetVersion");
            version = memory.getInt(0);
        }
        if (version < OLDEST) {
            throw LockstepException.report(
                            ErrorCode.NO_LIBRARY,
                            "NCCL " + name(version) + " (" + candidate + ") is older than " + name(OLDEST))
                    .attempt(VARIABLE + " = the path of a newer libnccl.so.2")
                    .exception();
        }
        Set<Capability> there = EnumSet.noneOf(Capability.class);
        for (Capability capability : Capability.values()) {
            if (has(library, capability.function)) {
                there.add(capability);
            }
        }
        if (there.contains(Capability.REGISTER)) {
            Binding.of(NcclFunctions219.class, library);
        }
        return new NcclLibrary(candidate, version, there);
    }

    private static boolean has(NativeLibrary library, String function) {
        try {
            return library.getFunction(function) != null;
        } catch (UnsatisfiedLinkError missing) {
            return false;
        }
    }

    /** A plain name for the system's loader first, then files. */
    static List<String> candidates(Map<String, String> environment) {
        List<String> all = new ArrayList<>(List.of(NAME, "/usr/local/cuda/lib64/" + NAME));
        all.addAll(LibrarySearch.inPackages(environment, IN_PACKAGES));
        all.add("libnccl.so");
        return all.stream().distinct().toList();
    }

    /** Such as 22809 for 2.28.9. */
    int version() {
        return version;
    }

    /**
     * That its communicators can have a traffic class.
     *
     * @throws LockstepException NO_EFFECT where it is too old for that
     */
    void requireTrafficClass() {
        if (version < TRAFFIC_CLASS) {
            throw LockstepException.report(
                            ErrorCode.NO_EFFECT,
                            this + " has no traffic class for each communicator, as " + name(TRAFFIC_CLASS) + " has")
                    .attempt(VARIABLE + " = the path of a newer libnccl.so.2, or no traffic class")
                    .exception();
        }
    }

    /**
     * That it reduces elements of an 8-bit floating type on such a device.
     *
     * @param major of the device's compute capability
     * @param device as the error calls it
     * @throws LockstepException USAGE where one of them is too old for that
     */
    void requireFp8(DataType type, int major, String device) {
        if (version < FP8 || major < FP8_MAJOR) {
            throw LockstepException.report(
                            ErrorCode.USAGE,
                            this + " on " + device + ", reduces no " + type + ", as " + name(FP8) + " does from "
                                    + FP8_MAJOR + ".0 on")
                    .attempt(
                            "a reduction of f16 or bf16, or groups through the host; what is only moved may be " + type)
                    .exception();
        }
    }

    /**
     * That memory can be registered with its communicators.
     *
     * @throws LockstepException NO_EFFECT where it is too old for that
     */
    void requireRegister() {
        if (!capabilities.contains(Capability.REGISTER)) {
            throw LockstepException.report(ErrorCode.NO_EFFECT, this + " cannot register memory, as 2.19 can")
                    .attempt(VARIABLE + " = the path of a newer libnccl.so.2, or memory that is not registered")
                    .exception();
        }
    }

    Set<Capability> capabilities() {
        return capabilities;
    }

    /**
     * A new id for one group. A thread of this process listens for it until the group's ranks have met: one that nobody uses
     * keeps that thread, and a socket, for the life of the process.
     */
    UniqueId newId() {
        try (Memory memory = new Memory(UniqueId.BYTES)) {
            NcclResult.check(NcclFunctions.ncclGetUniqueId(Pointer.nativeValue(memory)), "ncclGetUniqueId of " + this);
            return UniqueId.of(memory.getByteArray(0, UniqueId.BYTES));
        }
    }

    /** 21806 is 2.18.6. */
    private static String name(int version) {
        return version / 10_000 + "." + version % 10_000 / 100 + "." + version % 100;
    }

    /** Which one, and where it is, as the loader was asked for it. */
    @Override
    public String toString() {
        return "NCCL " + name(version) + " (" + found + ")";
    }
}
