package org.lockstep.cuda;

import com.sun.jna.Memory;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Identity;

/**
 * NVML, the management library that comes with every driver: it tells what joins the GPUs of this host, also those that
 * {@code CUDA_VISIBLE_DEVICES} hides from this process. Where there is none, or it refuses, that is not known. Thread-safe.
 */
final class Nvml implements AutoCloseable {
    /** The environment's say where it is. */
    static final String VARIABLE = "LOCKSTEP_NVML";

    private static final String NAME =
            "libnvidia-ml.so.1"; // beside libcuda.so.1: the system's loader finds both or none

    // of nvml.h
    private static final int SUCCESS = 0;
    private static final int NVLINK = 2; // NVML_P2P_CAPS_INDEX_NVLINK
    private static final int STATUS_OK = 0; // NVML_P2P_STATUS_OK

    private Nvml() {}

    /**
     * Begins to ask.
     *
     * @param environment of the process
     * @throws LockstepException NO_LIBRARY without it; DEVICE_FAULT where it does not begin, as where it is of another version
     *     than the driver's kernel module
     */
    static Nvml open(Map<String, String> environment) {
        String candidate = environment.getOrDefault(VARIABLE, NAME);
        try {
            Binding.of(NvmlFunctions.class, NativeLibrary.getInstance(candidate));
        } catch (LinkageError e) {
            throw LockstepException.report(
                            ErrorCode.NO_LIBRARY, "no NVML loads: " + LibrarySearch.refusal(candidate, e))
                    .attempt(VARIABLE + " = the path of the driver's " + NAME)
                    .exception();
        }
        check(NvmlFunctions.nvmlInit_v2(), "nvmlInit_v2");
        return new Nvml();
    }

    /**
     * Which two of some devices NVLink, or an NVSwitch, does not join, or why that is not known, in words; empty where it joins all.
     *
     * @param environment of the process
     */
    static Optional<String> notJoined(List<Identity.Gpu> devices, Map<String, String> environment) {
        try (Nvml nvml = open(environment)) {
            for (Identity.Gpu one : devices) {
                for (Identity.Gpu other : devices.subList(devices.indexOf(one) + 1, devices.size())) {
                    if (!nvml.joins(one, other)) {
                        return Optional.of("no NVLink joins " + one + " and " + other);
                    }
                }
            }
            return Optional.empty();
        } catch (LockstepException unknown) {
            return Optional.of("whether NVLink joins the GPUs is not known: " + unknown.summary());
        }
    }

    /** Whether NVLink joins two devices of this host. */
    private boolean joins(Identity.Gpu one, Identity.Gpu other) {
        try (Memory status = new Memory(Integer.BYTES)) {
            check(
                    NvmlFunctions.nvmlDeviceGetP2PStatus(
                            device(one), device(other), NVLINK, Pointer.nativeValue(status)),
                    "nvmlDeviceGetP2PStatus");
            return status.getInt(0) == STATUS_OK;
        }
    }

    private static long device(Identity.Gpu gpu) {
        try (Memory device = new Memory(Long.BYTES)) {
            check(
                    NvmlFunctions.nvmlDeviceGetHandleByPciBusId_v2(gpu.busId(), Pointer.nativeValue(device)),
                    "nvmlDeviceGetHandleByPciBusId_v2 of " + gpu.busId());
            return device.getLong(0);
        }
    }

    private static void check(int result, String call) {
        if (result != SUCCESS) {
            throw LockstepException.report(
                            ErrorCode.DEVICE_FAULT,
                            call + ": " + NvmlFunctions.nvmlErrorString(result) + " (" + result + ")")
                    .attempt("nvidia-smi topo -p2p n, which asks the same")
                    .exception();
        }
    }

    @Override
    public void close() {
        check(NvmlFunctions.nvmlShutdown(), "nvmlShutdown");
    }
}
