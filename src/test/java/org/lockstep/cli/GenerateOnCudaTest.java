package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.ErrorCode;
import org.lockstep.cuda.HostCuda;
import org.lockstep.cuda.StandIn;

/** {@code lockstep generate --device cuda} in a process from which devices are hidden. */
@HostCuda
@Timeout(120)
class GenerateOnCudaTest {
    @TempDir
    Path folder;

    /** What was looked for, and no rank on another device than was asked for. */
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "0 | auto         | NO_DEVICE | shows no device: CUDA_ERROR_NO_DEVICE (100), CUDA_VISIBLE_DEVICES=",
                "0 | libnccl.so.2 | NO_DEVICE | nvidia-smi -L",
                "1 | libnccl.so.2 | USAGE     | NCCL is for one rank to a device, here 2 share one"
            })
    void tooFewDevicesAreSaidAndNothingIsGenerated(int devices, String nccl, ErrorCode code, String words)
            throws Exception {
        Run run = run(devices, devices == 0 ? "" : "0", "spark.lockstep.gpu.nccl=" + nccl);
        assertThat(run.code()).as(run.err()).isEqualTo(code.exitCode());
        assertThat(run.out()).doesNotContain("Once upon a time");
        assertThat(run.err()).contains(code.label(), words.trim()).doesNotContain("\tat ");
    }

    @ParameterizedTest
    @CsvSource({"1, 0", "2, 'GPU-0,GPU-1'"})
    void thoseThatAreVisibleAreUsed(int devices, String visible) throws Exception {
        Run run = run(devices, visible, "spark.lockstep.gpu.nccl=auto");
        assertThat(run.code()).as(run.err()).isZero();
        assertThat(run.out()).contains("Once upon a time");
    }

    private Run run(int devices, String visible, String conf) throws Exception {
        StandIn.require();
        Path prompts = Files.writeString(folder.resolve("prompts.txt"), "Once upon a time\n");
        List<String> words = new ArrayList<>();
        words.addAll(List.of("generate", "--device", "cuda", "--master", "local[2]", "-tp", "2"));
        words.addAll(List.of("--conf", conf, "--conf", "spark.lockstep.gpu.cublas=none"));
        words.addAll(List.of("--prompts", prompts.toString(), "--max-tokens", "2"));
        return Run.ofProcess(
                folder, Map.of("LOCKSTEP_CUDA_DEVICES", "" + devices, "CUDA_VISIBLE_DEVICES", visible), words);
    }
}
