package org.lockstep.spark.preflight;

import java.io.Serializable;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;

/**
 * What one process, the driver or an executor, sees of its machine. Immutable; travels from the executors.
 *
 * @param process Spark's name of the executor, or {@code driver}
 * @param host where it runs
 * @param versions of what runs in it
 * @param cpu that it computes on
 * @param gpu what CUDA it finds
 * @param memory that it may use
 * @param descriptors of the process
 * @param ports that its ranks may listen at
 * @param seesModel whether the model's directory is there, with its settings in it
 */
public record Machine(
        String process,
        String host,
        Versions versions,
        Cpu cpu,
        Gpu gpu,
        Memory memory,
        Descriptors descriptors,
        Ports ports,
        boolean seesModel)
        implements Serializable {

    /**
     * What runs in the process.
     *
     * @param java with its vendor
     * @param lockstep of the jar's manifest; {@code not packaged} for classes
     * @param spark of the jars on the class path
     * @param scala likewise
     */
    public record Versions(String java, String lockstep, String spark, String scala) implements Serializable {}

    /**
     * What it computes on.
     *
     * @param cores that the JVM sees
     * @param model as the system names it
     * @param features that matter to the kernels, such as avx2; empty where the system does not say
     * @param vectors whether the Vector API computes: its module is there, and the machine has vectors of a fitting length
     */
    public record Cpu(int cores, String model, List<String> features, boolean vectors) implements Serializable {
        public Cpu {
            features = List.copyOf(features);
        }
    }

    /**
     * What CUDA it finds.
     *
     * @param driver version, devices and what joins them in a line; where there are none, why
     * @param lacks what is missing; null where there is a device
     * @param devices make and memory of each
     * @param cublas the library's path; where there is none, what was tried
     * @param hasCublas whether there is one
     * @param nccl as {@code cublas}
     * @param hasNccl whether there is one
     */
    public record Gpu(
            String driver,
            @Nullable ErrorCode lacks,
            List<String> devices,
            String cublas,
            boolean hasCublas,
            String nccl,
            boolean hasNccl)
            implements Serializable {
        public Gpu {
            devices = List.copyOf(devices);
        }
    }

    /**
     * Bytes; -1 where the system does not say.
     *
     * @param heap of the JVM at most
     * @param limit of the container, or the machine's memory
     * @param shared of /dev/shm
     * @param sharedFree of that
     */
    public record Memory(long heap, long limit, long shared, long sharedFree) implements Serializable {}

    /**
     * Where its ranks may listen.
     *
     * @param first that the configuration allows; 0 for any
     * @param last likewise
     * @param free how many of them nobody listens at
     */
    public record Ports(int first, int last, int free) implements Serializable {}

    /** What of it decides whether ranks can start. */
    public Site site() {
        return new Site(process, host, descriptors, seesModel);
    }

    /** What should be the same in all executors, by name, for people. */
    public Map<String, String> comparable() {
        Map<String, String> facts = new LinkedHashMap<>();
        facts.put("Java", versions.java);
        facts.put("Lockstep", versions.lockstep);
        facts.put("Spark", versions.spark + ", Scala " + versions.scala);
        facts.put("CPU features", String.join(" ", cpu.features));
        facts.put("vectors", cpu.vectors ? "on" : "off");
        facts.put("cores", Integer.toString(cpu.cores));
        facts.put(
                "GPUs",
                gpu.lacks == null
                        ? gpu.devices.size() + " × "
                                + gpu.devices.stream().distinct().toList()
                        : "none");
        facts.put("CUDA driver", gpu.driver.lines().findFirst().orElse("").split(", ", 2)[0]);
        facts.put("cuBLAS", gpu.lacks == null && gpu.hasCublas ? gpu.cublas : "none");
        facts.put("NCCL", gpu.lacks == null && gpu.hasNccl ? gpu.nccl : "none");
        facts.put("heap", mebibytes(memory.heap));
        facts.put("memory limit", mebibytes(memory.limit));
        facts.put("/dev/shm", mebibytes(memory.shared));
        facts.put(
                "descriptor limit",
                descriptors.limit() == Long.MAX_VALUE ? "none" : Long.toString(descriptors.limit()));
        facts.put("model", seesModel ? "seen" : "not seen");
        return facts;
    }

    static String mebibytes(long bytes) {
        return bytes < 0 ? "unknown" : String.format(Locale.ROOT, "%,d MiB", bytes >> 20);
    }
}
