package org.lockstep.spark.preflight;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.spark.SparkConf;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.lockstep.ErrorCode;
import org.lockstep.collective.TransportKind;
import org.lockstep.spark.preflight.Finding.Level;
import org.lockstep.spark.settings.DeviceChoice;

/** What is found on machines, from machines as they might be. */
public class MachineFindingsTest {
    private static final Machine.Versions VERSIONS = new Machine.Versions("17.0.15 (Debian)", "0.1.0", "4.1.3", "2.13");
    private static final Machine.Cpu CPU = new Machine.Cpu(8, "EPYC", List.of("avx2", "fma"), true);
    private static final Machine.Gpu NO_GPU = new Machine.Gpu(
            "there is no CUDA driver",
            ErrorCode.NO_DEVICE,
            List.of(),
            "no cuBLAS loads: a",
            false,
            "no NCCL loads: b",
            false);
    private static final Machine.Gpu H100 = new Machine.Gpu(
            "CUDA 12.4, 0: H100", null, List.of("H100, 81559 MiB"), "libcublas.so.12", true, "libnccl.so.2", true);
    private static final Machine.Memory MEMORY = new Machine.Memory(1L << 30, 64L << 30, 8L << 30, 7L << 30);
    private static final Descriptors PLENTY = new Descriptors(50, 1 << 20);
    private static final Machine.Ports ANY = new Machine.Ports(0, 0, 0);

    public static Machine machine(String process, Descriptors descriptors) {
        return new Machine(process, "host-" + process, VERSIONS, CPU, NO_GPU, MEMORY, descriptors, ANY, true);
    }

    private static Machine with(Machine.Cpu cpu, Machine.Gpu gpu, Machine.Memory memory, Machine.Ports ports) {
        return new Machine("1", "host-1", VERSIONS, cpu, gpu, memory, PLENTY, ports, true);
    }

    private static MachineFindings.Want want(DeviceChoice device) {
        return new MachineFindings.Want(4, device, EnumSet.allOf(TransportKind.class));
    }

    static Stream<Arguments> findings() {
        Machine.Gpu bare =
                new Machine.Gpu("CUDA 12.4", null, List.of("H100"), "no cuBLAS loads: a (b)", false, "x", false);
        Machine.Gpu old = new Machine.Gpu("made for CUDA 11.8", ErrorCode.OLD_DRIVER, List.of(), "", false, "", false);
        return Stream.of(
                Arguments.of(
                        with(new Machine.Cpu(8, "EPYC", List.of(), false), NO_GPU, MEMORY, ANY),
                        DeviceChoice.AUTO,
                        Level.WARN,
                        ErrorCode.NO_VECTORS,
                        "several times slower",
                        "--add-modules"),
                Arguments.of(
                        with(CPU, NO_GPU, MEMORY, ANY),
                        DeviceChoice.CUDA,
                        Level.FAIL,
                        ErrorCode.NO_DEVICE,
                        "there is no CUDA driver",
                        "--device cpu"),
                Arguments.of(
                        with(CPU, old, MEMORY, ANY),
                        DeviceChoice.CUDA,
                        Level.FAIL,
                        ErrorCode.OLD_DRIVER,
                        "CUDA 11.8",
                        "525 or newer"),
                Arguments.of(
                        with(CPU, bare, MEMORY, ANY),
                        DeviceChoice.AUTO,
                        Level.FAIL,
                        ErrorCode.NO_LIBRARY,
                        "no cuBLAS loads: a (b)",
                        "spark.lockstep.gpu.cublas"),
                Arguments.of(
                        with(CPU, bare, MEMORY, ANY),
                        DeviceChoice.AUTO,
                        Level.NOTE,
                        ErrorCode.NO_LIBRARY,
                        "x",
                        "host memory"),
                Arguments.of(
                        with(CPU, NO_GPU, new Machine.Memory(8L << 30, 4L << 30, 8L << 30, 7L << 30), ANY),
                        DeviceChoice.AUTO,
                        Level.WARN,
                        ErrorCode.NOT_ENOUGH_MEMORY,
                        "8,192 MiB of heap",
                        "spark.executor.memory"),
                Arguments.of(
                        with(CPU, NO_GPU, new Machine.Memory(1, 4L << 30, 64L << 20, 1L << 20), ANY),
                        DeviceChoice.AUTO,
                        Level.WARN,
                        ErrorCode.SHARED_MEMORY,
                        "1 MiB free of 64 MiB",
                        "--shm-size"),
                Arguments.of(
                        with(CPU, NO_GPU, MEMORY, new Machine.Ports(7000, 7002, 3)),
                        DeviceChoice.AUTO,
                        Level.FAIL,
                        ErrorCode.NOT_ENOUGH_PORTS,
                        "3 ports of 7000-7002",
                        "wider range"));
    }

    @ParameterizedTest
    @MethodSource("findings")
    void ofOneMachine(Machine machine, DeviceChoice device, Level level, ErrorCode code, String sentence, String line) {
        assertThat(MachineFindings.of(List.of(machine), want(device)))
                .filteredOn(finding -> finding.level() == level)
                .singleElement()
                .satisfies(finding -> {
                    assertThat(finding.code()).isEqualTo(code);
                    assertThat(finding.sentence()).contains(sentence);
                    assertThat(finding.line()).contains(line);
                });
    }

    @Test
    void whatIsAsItShouldBeIsOk() {
        assertThat(MachineFindings.of(List.of(with(CPU, H100, MEMORY, ANY)), want(DeviceChoice.CUDA)))
                .extracting(Finding::level)
                .containsOnly(Level.OK);
        assertThat(MachineFindings.of(List.of(with(CPU, NO_GPU, MEMORY, ANY)), want(DeviceChoice.AUTO)))
                .allSatisfy(finding -> assertThat(finding.level()).isEqualTo(Level.OK))
                .extracting(Finding::sentence)
                .as("where libraries were looked for, also where no GPU is")
                .anyMatch(sentence -> sentence.startsWith("no cuBLAS loads: a"))
                .anyMatch(sentence -> sentence.startsWith("no NCCL loads: b"));
    }

    @Test
    void sharedMemoryThatNobodyUsesMayBeSmall() {
        Machine small = with(CPU, NO_GPU, new Machine.Memory(1, 4L << 30, 64L << 20, 1L << 20), ANY);
        assertThat(MachineFindings.of(
                        List.of(small), new MachineFindings.Want(1, DeviceChoice.CPU, Set.of(TransportKind.TCP))))
                .extracting(Finding::level)
                .containsOnly(Level.OK);
    }

    @Test
    void whatAllSayIsSaidOnceAndWhatDiffersIsNamed() {
        Machine one = machine("1", PLENTY);
        Machine two = new Machine(
                "2",
                "host-2",
                new Machine.Versions("21.0.2 (Azul)", "0.0.9", "4.1.3", "2.13"),
                CPU,
                NO_GPU,
                MEMORY,
                PLENTY,
                ANY,
                true);
        assertThat(MachineFindings.differences(List.of(one))).isEmpty();
        assertThat(MachineFindings.differences(List.of(one, machine("3", PLENTY))))
                .isEmpty();
        assertThat(MachineFindings.differences(List.of(one, two, machine("3", PLENTY))))
                .extracting(Finding::level, Finding::sentence)
                .containsExactly(
                        org.assertj.core.groups.Tuple.tuple(
                                Level.WARN,
                                "Java differs between executors: 17.0.15 (Debian) (executors 1 on host-1, 3 on host-3);"
                                        + " 21.0.2 (Azul) (executor 2 on host-2)"),
                        org.assertj.core.groups.Tuple.tuple(
                                Level.FAIL,
                                "Lockstep differs between executors: 0.1.0 (executors 1 on host-1, 3 on host-3);"
                                        + " 0.0.9 (executor 2 on host-2)"));
        assertThat(MachineFindings.of(List.of(one, two), want(DeviceChoice.AUTO)))
                .extracting(Finding::sentence)
                .anySatisfy(sentence -> assertThat(sentence).startsWith("all 2 executors: 8 cores"))
                .anySatisfy(sentence -> assertThat(sentence).startsWith("executor 2 on host-2: Java 21"));
    }

    @Test
    void thisMachineCanBeLookedAt() {
        Machine here = MachineLook.here("driver", new SparkConf(false), "/no/such/model");
        assertThat(here.seesModel()).isFalse();
        assertThat(here.versions().spark()).matches("\\d+\\.\\d+\\.\\d+");
        assertThat(here.cpu().cores()).isPositive();
        assertThat(here.gpu().cublas()).contains("libcublas");
        if (!here.gpu().hasNccl()) {
            assertThat(here.gpu().nccl()).contains("libnccl.so.2 (").containsIgnoringCase("no such file");
        }
        assertThat(here.memory().heap()).isPositive();
        assertThat(here.comparable()).containsKeys("Java", "GPUs", "/dev/shm", "descriptor limit", "model");
    }
}
