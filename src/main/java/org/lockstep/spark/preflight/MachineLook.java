package org.lockstep.spark.preflight;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.FileStore;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkContext;
import org.apache.spark.SparkEnv;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Identity;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.cuda.CudaDriver;
import org.lockstep.cuda.CudaLibraries;
import org.lockstep.cuda.CudaOptions;
import org.lockstep.cuda.VisibleDevice;
import org.lockstep.spark.settings.Settings;

/**
 * Looks at machines, from inside the processes that run on them. What a system does not tell is unknown, never an error.
 *
 * <p>Executors are asked by a plain job, not by a gang: what keeps a gang from starting is what is looked for.
 */
public final class MachineLook {
    private static final int MOST_TASKS = 1024;
    private static final int MOST_PORTS = 256;
    private static final int ROUNDS = 5;
    private static final List<String> FEATURES = List.of(
            "avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "fma", "f16c", "asimd", "bf16", "sve", "i8mm");
    private static final List<Path> CONTAINER_LIMITS =
            List.of(Path.of("/sys/fs/cgroup/memory.max"), Path.of("/sys/fs/cgroup/memory/memory.limit_in_bytes"));

    private MachineLook() {}

    /**
     * What the executors see, in order of their names; under a local master what this process sees. A short task goes to each
     * slot, again while executors are left that got none; those that are busy all the time do not answer.
     *
     * @param directory of the model; null if it is not in a directory
     */
    public static List<Machine> executors(SparkContext spark, @Nullable String directory) {
        if (spark.isLocal()) {
            return List.of(here("driver", spark.getConf(), directory));
        }
        Map<String, Machine> seen = new TreeMap<>();
        int expected = Math.max(1, ClusterPreflight.executors(spark));
        for (int round = 0; round < ROUNDS && seen.size() < expected; round++) {
            aTaskOnEach(spark, Math.min(MOST_TASKS, ClusterPreflight.slots(spark)))
                    .map(any -> here(SparkEnv.get().executorId(), SparkEnv.get().conf(), directory))
                    .collect()
                    .forEach(machine -> seen.put(machine.process(), machine));
        }
        return List.copyOf(seen.values());
    }

    /** So many short tasks as there are slots, one at least: where all are free each executor gets some. */
    static JavaRDD<Integer> aTaskOnEach(SparkContext spark, int slots) {
        int tasks = Math.max(1, slots);
        return JavaSparkContext.fromSparkContext(spark)
                .parallelize(IntStream.range(0, tasks).boxed().toList(), tasks);
    }

    /** What this process sees. */
    public static Machine here(String process, SparkConf conf, @Nullable String directory) {
        Runtime runtime = Runtime.getRuntime();
        return new Machine(
                process,
                Identity.onThisHost("doctor", 0, 0).hostName(),
                new Machine.Versions(
                        System.getProperty("java.version") + " (" + System.getProperty("java.vendor") + ")",
                        Optional.ofNullable(MachineLook.class.getPackage().getImplementationVersion())
                                .orElse("not packaged"),
                        org.apache.spark.package$.MODULE$.SPARK_VERSION(),
                        scala.util.Properties.versionNumberString()),
                cpu(runtime.availableProcessors()),
                gpu(conf),
                new Machine.Memory(runtime.maxMemory(), memoryLimit(), sharedMemory(true), sharedMemory(false)),
                Descriptors.here(),
                ports(conf),
                Site.sees(directory));
    }

    private static Machine.Cpu cpu(int cores) {
        List<String> lines = lines(Path.of("/proc/cpuinfo"));
        List<String> flags = List.of(value(lines, "flags", "Features").split(" +", -1));
        return new Machine.Cpu(
                cores,
                value(lines, "model name", "CPU part"),
                FEATURES.stream().filter(flags::contains).toList(),
                CpuBackend.hasVectors());
    }

    private static String value(List<String> lines, String... names) {
        return lines.stream()
                .filter(line -> Stream.of(names).anyMatch(line::startsWith))
                .map(line -> line.substring(line.indexOf(':') + 1).trim())
                .findFirst()
                .orElse("");
    }

    private static Machine.Gpu gpu(SparkConf conf) {
        CudaLibraries found = CudaLibraries.look(
                named(Settings.GPU_CUBLAS.in(conf)), named(Settings.GPU_NCCL.in(conf)), System.getenv());
        try {
            CudaDriver driver = CudaDriver.create();
            driver.verifyEnabled();
            List<String> devices =
                    driver.devices().stream().map(MachineLook::make).toList();
            String links = driver.links();
            return gpu(driver + (links.isEmpty() ? "" : "; " + links), null, devices, found);
        } catch (LockstepException none) { // or one that answers with an error
            return gpu(none.summary(), none.code(), List.of(), found);
        }
    }

    private static Machine.Gpu gpu(
            String driver, @Nullable ErrorCode lacks, List<String> devices, CudaLibraries found) {
        return new Machine.Gpu(
                driver,
                lacks,
                devices,
                found.cublas().found().orElse(found.cublas().tried()),
                found.cublas().found().isPresent(),
                found.nccl().found().orElse(found.nccl().tried()),
                found.nccl().found().isPresent());
    }

    /** A library's path, where the configuration gives one. */
    private static Optional<String> named(String setting) {
        return setting.equals("auto") || setting.equals(CudaOptions.NO_CUBLAS)
                ? Optional.empty()
                : Optional.of(setting);
    }

    private static String make(VisibleDevice device) {
        return device.name() + ", " + Machine.mebibytes(device.bytes());
    }

    private static long memoryLimit() {
        long machine = lines(Path.of("/proc/meminfo")).stream()
                .filter(line -> line.startsWith("MemTotal:"))
                .mapToLong(line -> number(line.replaceAll("\\D", "")) << 10)
                .findFirst()
                .orElse(-1);
        return CONTAINER_LIMITS.stream()
                .flatMap(file -> lines(file).stream().limit(1))
                .mapToLong(line -> number(line.trim())) // "max" is none, and no number
                .filter(limit -> limit > 0 && (machine < 0 || limit < machine))
                .min()
                .orElse(machine);
    }

    private static long number(String digits) {
        try {
            return Long.parseLong(digits);
        } catch (NumberFormatException none) {
            return -1;
        }
    }

    private static long sharedMemory(boolean all) {
        try {
            Path folder = Path.of("/dev/shm");
            if (!Files.isWritable(folder)) {
                return 0;
            }
            FileStore store = Files.getFileStore(folder);
            return all ? store.getTotalSpace() : store.getUsableSpace();
        } catch (IOException unknown) {
            return -1;
        }
    }

    private static Machine.Ports ports(SparkConf conf) {
        int first = Settings.PORT_MIN.in(conf);
        int last = Settings.PORT_MAX.in(conf);
        int free = (int)
                (first == 0
                        ? 0
                        : IntStream.rangeClosed(first, Math.min(last, first + MOST_PORTS - 1))
                                .filter(MachineLook::isFree)
                                .count());
        return new Machine.Ports(first, last, free);
    }

    private static boolean isFree(int port) {
        try (ServerSocket probe = new ServerSocket(port, 1, InetAddress.getByAddress(new byte[4]))) {
            return probe.isBound();
        } catch (IOException taken) {
            return false;
        }
    }

    private static List<String> lines(Path file) {
        try {
            return Files.readAllLines(file);
        } catch (IOException unknown) {
            return List.of();
        }
    }
}
