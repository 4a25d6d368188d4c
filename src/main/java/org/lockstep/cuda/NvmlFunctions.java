package org.lockstep.cuda;

/**
 * The functions of NVML that are used, mapped directly: handles and pointers are their numbers. They belong to the process: it has
 * one NVML. The names are NVIDIA's.
 */
final class NvmlFunctions {
    private NvmlFunctions() {}

    static native int nvmlInit_v2();

    static native int nvmlShutdown();

    static native String nvmlErrorString(int result);

    static native int nvmlDeviceGetHandleByPciBusId_v2(String busId, long device);

    static native int nvmlDeviceGetP2PStatus(long device, long other, int capability, long status);
}
