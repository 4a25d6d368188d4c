package org.lockstep.cuda;

import com.sun.jna.NativeLibrary;

/** What the stand-in for NVML has beside NVML's functions. */
final class StandInNvml {
    private final NativeLibrary library;

    private StandInNvml(NativeLibrary library) {
        this.library = library;
    }

    /** The one that this process has loaded; only where its driver is the stand-in too. */
    static StandInNvml require() {
        StandIn.require();
        return new StandInNvml(NativeLibrary.getInstance("libnvidia-ml.so.1"));
    }

    /** Whether NVLink joins all devices from now on, or none. */
    void setJoined(boolean all) {
        library.getFunction("standin_nvml_join").invokeVoid(new Object[] {all ? 1 : 0});
    }

    /** What it says from now on where it is begun (18), or asked (any other); 0 for none. */
    void refuse(int result) {
        library.getFunction("standin_nvml_refuse").invokeVoid(new Object[] {result});
    }

    /** Who has begun to ask, and not ended. */
    int users() {
        return library.getFunction("standin_nvml_users").invokeInt(new Object[0]);
    }
}
