package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.lockstep.cli.BenchCommandTest.assertLine;
import static org.lockstep.cli.BenchCommandTest.json;
import static org.lockstep.cli.BenchCommandTest.operations;
import static org.lockstep.cli.BenchCommandTest.tokens;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.ErrorCode;
import org.lockstep.cuda.HostCuda;
import org.lockstep.cuda.StandIn;

/** {@code lockstep bench --backend nccl}, as a process whose ranks have the devices of the stand-in. */
@HostCuda
@Timeout(120)
class BenchOnCudaTest {
    @TempDir
    Path folder;

    @BeforeEach
    void requireStandIn() {
        StandIn.require();
    }

    @Test
    void theTableIsThatOfNcclTests() throws Exception {
        Run run = run(2, "all-reduce", "--backend", "nccl", "-b", "8", "-e", "32K", "-f", "64");
        assertThat(run.code()).as(run.err()).isZero();
        List<String> lines = run.out().lines().toList();
        assertThat(lines.get(0)).contains("all-reduce", "ranks 2", "place threads", "transport nccl");
        assertThat(lines.stream().filter(line -> !line.startsWith("#")))
                .hasSize(3)
                .allSatisfy(line -> assertThat(line)
                        .matches(
                                "\\s+\\d+\\s+\\d+\\s+f32\\s+sum\\s+-1(\\s+[0-9.]+\\s+[0-9.]+\\s+[0-9.]+\\s+0){2}\\s*"));
        assertThat(run.out()).contains("# Wrong elements    : 0 OK");
    }

    @ParameterizedTest
    @CsvSource({
        "threads, lockstep-local, thread, 2",
        "threads, lockstep-local, thread, 3",
        "jvms, lockstep-shm, shared, 2"
    })
    void everyOperationIsRight(String place, String peer, String host, int ranks) throws Exception {
        String[] words = {
            "all", "--backend", "nccl", "--place", place, "--ranks", "" + ranks, "--sizes", "4,1000", "--json"
        };
        Run run = run(ranks, words);
        List<JsonNode> lines = json(run);
        assertThat(operations(lines)).isEqualTo(tokens());
        assertThat(lines).hasSize(9 * 2 * 2 + 3 * 2 + 1);
        lines.forEach(
                line -> assertLine(line, peer, ranks, line.get("op").textValue().equals("barrier") ? host : "nccl"));
        assertThat(run.err()).as("the tables go elsewhere").contains("place " + place, "#wrong");
    }

    @ParameterizedTest
    @CsvSource({"1", "2"})
    void whatDevicesDoByThemselvesIsRight(int devices) throws Exception {
        List<JsonNode> lines = json(run(devices, "all", "--backend", "peer", "--sizes", "4,1000", "--json"));
        assertThat(operations(lines)).isEqualTo(tokens());
        lines.forEach(line -> assertLine(
                line, "lockstep-local", 2, line.get("op").textValue().equals("barrier") ? "thread" : "peer"));
    }

    @Test
    void betweenJvmsThatIsSmallAllReducesAndTheRestIsToldApart() throws Exception {
        String[] words = {
            "all-reduce", "broadcast", "--backend", "peer", "--place", "jvms", "--sizes", "1000,9M", "--json"
        };
        List<JsonNode> lines = json(run(2, words));
        assertThat(lines).hasSize(2 * 2 * 2);
        lines.forEach(line -> {
            boolean small = line.get("op").textValue().equals("all_reduce")
                    && line.get("bytes").longValue() == 1000;
            assertLine(line, "lockstep-shm", 2, small ? "peer" : "shared");
        });
    }

    @Test
    void jvmsThatShareADeviceAreRightForChecks() throws Exception {
        List<JsonNode> lines = json(run(
                1, "all", "--backend", "nccl-shared", "--place", "jvms", "--ranks", "2", "--sizes", "1000", "--json"));
        assertThat(operations(lines)).isEqualTo(tokens());
        lines.forEach(line -> assertLine(
                line, "lockstep-shm", 2, line.get("op").textValue().equals("barrier") ? "shared" : "nccl-shared"));
        Run threads = run(1, "all-reduce", "--backend", "nccl-shared", "--sizes", "64");
        assertThat(threads.code()).isEqualTo(2);
        assertThat(threads.err()).contains("share a device and are of one process", "one rank to an executor");
    }

    @Test
    void everyOperationOfTasksOfSparkIsRight() throws Exception {
        List<JsonNode> lines =
                json(run(2, "all", "--backend", "nccl", "--master", "local[2]", "--sizes", "64,4K", "--json"));
        assertThat(operations(lines)).isEqualTo(tokens());
        lines.forEach(line -> assertLine(
                line, "lockstep-spark", 2, line.get("op").textValue().equals("barrier") ? "thread" : "nccl"));
    }

    @Test
    void oneRankIsToldToBeAlone() throws Exception {
        Run run = run(1, "all", "--backend", "nccl", "--ranks", "1", "--sizes", "64", "--json");
        List<JsonNode> lines = json(run);
        Set<String> others = new HashSet<>(tokens());
        others.remove("ping_pong");
        assertThat(operations(lines)).isEqualTo(others);
        lines.forEach(line -> assertLine(line, "lockstep-local", 1, "none"));
        assertThat(run.err()).contains("# one rank has nobody to call");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "0 | threads | 2 | NO_DEVICE | (bench of groups: --backend host), or give this process a device",
                "0 | jvms    | 2 | NO_DEVICE | (bench of groups: --backend host), or give this process a device",
                "1 | threads | 2 | USAGE     | NCCL is for one rank to a device, here 2 share one",
                "2 | jvms    | 3 | USAGE     | NCCL is for one rank to a device, here 2 share one",
            })
    void whereDevicesAreTooFewNothingIsMeasured(int devices, String place, int ranks, ErrorCode code, String words)
            throws Exception {
        Run run = run(devices, "all-reduce", "--backend", "nccl", "--place", place, "--ranks", "" + ranks);
        assertThat(run.code()).as(run.err()).isEqualTo(code.exitCode());
        assertThat(run.out()).isEmpty();
        assertThat(run.err()).contains(code.label(), words).doesNotContain("\tat ");
    }

    @Test
    void whereThereIsNoNcclNothingIsMeasured() throws Exception {
        Map<String, String> nowhere = Map.of("LOCKSTEP_CUDA_DEVICES", "2", "LOCKSTEP_NCCL", "/nowhere/libnccl.so.2");
        Run run = run(nowhere, "all-reduce", "--backend", "nccl");
        assertThat(run.code()).isEqualTo(ErrorCode.NO_LIBRARY.exitCode());
        assertThat(run.err()).contains(ErrorCode.NO_LIBRARY.label(), "/nowhere/libnccl.so.2");
        Run onSpark = run(nowhere, "all-reduce", "--backend", "nccl", "--master", "local[2]", "--sizes", "64");
        assertThat(onSpark.code()).as(onSpark.err()).isEqualTo(ErrorCode.NO_EFFECT.exitCode());
        assertThat(onSpark.err()).contains("exchange through the host", "spark.lockstep.gpu.nccl");
        assertThat(run.out() + onSpark.out()).isEmpty();
    }

    private Run run(int devices, String... words) throws IOException, InterruptedException {
        return run(Map.of("LOCKSTEP_CUDA_DEVICES", "" + devices), words);
    }

    private Run run(Map<String, String> environment, String... words) throws IOException, InterruptedException {
        List<String> all = new ArrayList<>(List.of("bench"));
        all.addAll(List.of(words));
        all.addAll(List.of("-n", "3", "-w", "2", "--batches", "2"));
        return Run.ofProcess(folder, environment, all);
    }
}
