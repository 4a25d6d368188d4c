package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.collective.Identity;

/** What joins devices, as NVML tells it, and what is said where it does not. */
@HostCuda
class NvmlTest {
    private static final int VERSION_MISMATCH = 18;
    private static final int NOT_SUPPORTED = 3;

    private List<Identity.Gpu> all = List.of();

    @BeforeEach
    void show() {
        StandIn.require().setDevices(3);
        all = StandIn.devices().stream().map(VisibleDevice::gpu).toList();
    }

    @AfterEach
    void hide() {
        StandInNvml nvml = StandInNvml.require();
        nvml.setJoined(true);
        nvml.refuse(0);
        assertThat(nvml.users()).isZero();
        StandIn.require().setDevices(1);
    }

    @Test
    void nvlinkJoinsAllOrTheFirstTwoThatItDoesNotAreNamed() {
        assertThat(Nvml.notJoined(all, Map.of())).isEmpty();
        assertThat(CudaDriver.create().links()).isEqualTo("NVLink joins all of them");
        StandInNvml.require().setJoined(false);
        assertThat(Nvml.notJoined(all, Map.of())).contains("no NVLink joins " + all.get(0) + " and " + all.get(1));
        assertThat(CudaDriver.create().links()).startsWith("no NVLink joins");
    }

    /** As CUDA_VISIBLE_DEVICES of a task has it: one device, of which no other is to be seen. */
    @Test
    void devicesThatThisProcessDoesNotSeeAreKnownToo() {
        StandIn.require().setDevices(1);
        assertThat(Nvml.notJoined(all, Map.of())).isEmpty();
        assertThat(CudaDriver.create().links()).isEmpty();
    }

    @Test
    void whereItRefusesThatIsNotKnown() {
        StandInNvml nvml = StandInNvml.require();
        nvml.refuse(VERSION_MISMATCH);
        assertThat(Nvml.notJoined(all, Map.of()).orElseThrow())
                .startsWith("whether NVLink joins the GPUs is not known: nvmlInit_v2: ")
                .endsWith("mismatch. (18)");
        nvml.refuse(NOT_SUPPORTED);
        assertThat(Nvml.notJoined(all, Map.of()).orElseThrow()).endsWith("nvmlDeviceGetP2PStatus: Not Supported (3)");
        Identity.Gpu nowhere = new Identity.Gpu(all.get(0).uuid(), false, 0, 77, 0);
        assertThat(Nvml.notJoined(List.of(nowhere, all.get(0)), Map.of()).orElseThrow())
                .endsWith("of 00000000:4d:00.0: Not Found (6)");
    }

    @Test
    void whereThereIsNoneThatIsNotKnown(@TempDir Path folder) {
        Map<String, String> environment = Map.of(Nvml.VARIABLE, folder + "/none.so");
        assertThat(Nvml.notJoined(all, environment).orElseThrow())
                .contains("not known: no NVML loads: " + folder + "/none.so (");
        assertThat(Nvml.notJoined(all, Map.of(Nvml.VARIABLE, "libcuda.so.1")).orElseThrow())
                .contains("libcuda.so.1", "nvml");
    }
}
