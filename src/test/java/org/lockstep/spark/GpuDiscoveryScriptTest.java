package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.FaultCase;

/** What {@code conf/getGpusResources.sh} tells Spark, for what nvidia-smi says on several kinds of hosts. */
@Timeout(60)
class GpuDiscoveryScriptTest {
    private static final String TWO_GPUS = """
            GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
            GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-8f2c1a11-94a4-8f2e-35a5-1d4f6a0b9c3e)
            """;

    private static final String ONE_CUT = """
            GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
              MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
              MIG 3g.20gb     Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)
            GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-8f2c1a11-94a4-8f2e-35a5-1d4f6a0b9c3e)
            """;

    @TempDir
    private Path folder;

    private Path command;

    private record Outcome(int status, String output, String error) {}

    @BeforeEach
    void nameTheCommand() {
        command = folder.resolve("nvidia-smi");
    }

    @Test
    @FaultCase("F52")
    void indicesInTheOrderOfTheBus() throws Exception {
        says(TWO_GPUS, "[N/A]", 0);

        assertThat(discover(Map.of()).output()).isEqualTo("{\"name\": \"gpu\", \"addresses\": [\"0\", \"1\"]}\n");
    }

    @Test
    void uuidsWhereTheyAreAskedFor() throws Exception {
        says(TWO_GPUS, "Disabled", 0);

        assertThat(discover(Map.of("LOCKSTEP_GPU_ADDRESSES", "uuid")).output())
                .isEqualTo("{\"name\": \"gpu\", \"addresses\": [\"GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77\","
                        + " \"GPU-8f2c1a11-94a4-8f2e-35a5-1d4f6a0b9c3e\"]}\n");
    }

    @Test
    @FaultCase("F52")
    void slicesOfAGpuByTheirUuidAndAGpuThatIsNotCutByItsIndex() throws Exception {
        says(ONE_CUT, "Disabled", 0);

        assertThat(discover(Map.of()).output())
                .isEqualTo("{\"name\": \"gpu\", \"addresses\": [\"MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f\","
                        + " \"MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb\", \"1\"]}\n");
    }

    @Test
    void aGpuInMigModeWithoutSlicesIsLeftOut() throws Exception {
        says(ONE_CUT, "Enabled", 0);

        assertThat(discover(Map.of()).output()).contains("MIG-").doesNotContain("\"1\"");
    }

    @Test
    @FaultCase("F52")
    void visibleDevicesNarrowTheList() throws Exception {
        says(TWO_GPUS, "[N/A]", 0);

        assertThat(discover(Map.of("CUDA_VISIBLE_DEVICES", "1")).output()).contains("[\"1\"]");
        assertThat(discover(Map.of("CUDA_VISIBLE_DEVICES", "GPU-5d5ba0d6")).output())
                .contains("[\"0\"]");
        Outcome none = discover(Map.of("CUDA_VISIBLE_DEVICES", ""));
        assertThat(none.status()).isEqualTo(1);
        assertThat(none.error()).contains("2 GPUs, none that may be used");
    }

    @Test
    void withoutADriverItSaysSo() throws Exception {
        Outcome absent = discover(Map.of());
        assertThat(absent.status()).isEqualTo(1);
        assertThat(absent.error()).contains("install the NVIDIA driver", command.toString());

        says("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", "[N/A]", 9);
        Outcome broken = discover(Map.of());
        assertThat(broken.status()).isEqualTo(1);
        assertThat(broken.error()).contains("couldn't communicate with the NVIDIA driver");

        says("No devices found.\n", "[N/A]", 0);
        Outcome empty = discover(Map.of());
        assertThat(empty.status()).isEqualTo(1);
        assertThat(empty.error()).contains("lists no GPU: No devices found.");
    }

    @Test
    void anUnknownFormOfAddressesIsRefused() throws Exception {
        says(TWO_GPUS, "[N/A]", 0);

        Outcome outcome = discover(Map.of("LOCKSTEP_GPU_ADDRESSES", "bus"));
        assertThat(outcome.status()).isEqualTo(1);
        assertThat(outcome.error()).contains("bus is neither index nor uuid");
    }

    /** An nvidia-smi that lists this, says this MIG mode of every GPU, and ends with this status. */
    private void says(String list, String migMode, int status) throws IOException {
        Path text = Files.writeString(folder.resolve("list"), list);
        Files.writeString(
                command,
                "#!/bin/sh\ncase $1 in -L) cat '%s' ;; *) echo '%s' ;; esac\nexit %d\n"
                        .formatted(text, migMode, status));
        assertThat(command.toFile().setExecutable(true)).isTrue();
    }

    private Outcome discover(Map<String, String> environment) throws IOException, InterruptedException {
        Path error = folder.resolve("stderr");
        ProcessBuilder builder = new ProcessBuilder("conf/getGpusResources.sh").redirectError(error.toFile());
        builder.environment().remove("CUDA_VISIBLE_DEVICES");
        builder.environment().put("NVIDIA_SMI", command.toString());
        builder.environment().putAll(environment);
        Process process = builder.start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return new Outcome(process.waitFor(), output, Files.readString(error));
    }
}
