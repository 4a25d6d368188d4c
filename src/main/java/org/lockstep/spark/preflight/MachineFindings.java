package org.lockstep.spark.preflight;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.lockstep.ErrorCode;
import org.lockstep.collective.TransportKind;
import org.lockstep.spark.settings.DeviceChoice;
import org.lockstep.spark.settings.Settings;

/**
 * What the machines that ranks would run on tell, as a pure function of what was seen there: each machine alone, and then what
 * differs between them.
 */
public final class MachineFindings {
    /** Below it a group of four ranks may not get its rings. */
    private static final long SHARED_LEAST = 64L << 20;

    /** Must be equal, for the ranks' agreement refuses what is not. */
    private static final Set<String> MUST_AGREE = Set.of("Lockstep", "Spark");

    private static final String NEEDLESS = "; it would not be used: there is no GPU";

    private MachineFindings() {}

    /**
     * What a run wants of a machine.
     *
     * @param ranks in a process at most
     * @param device that is asked for
     * @param transports that are allowed
     */
    public record Want(int ranks, DeviceChoice device, Set<TransportKind> transports) {
        public Want {
            transports = Set.copyOf(transports);
        }
    }

    /** Findings of all machines; where several say the same, it is said once, with their names. */
    public static List<Finding> of(List<Machine> machines, Want want) {
        Map<Finding, List<Machine>> said = new LinkedHashMap<>();
        for (Machine machine : machines) {
            ofOne(machine, want)
                    .forEach(finding -> said.computeIfAbsent(finding, any -> new ArrayList<>())
                            .add(machine));
        }
        List<Finding> found = new ArrayList<>();
        said.forEach((finding, where) ->
                found.add(machines.size() == 1 ? finding : finding.at(names(where, machines.size()))));
        found.addAll(differences(machines));
        return List.copyOf(found);
    }

    private static Stream<Finding> ofOne(Machine machine, Want want) {
        return Stream.of(
                versions(machine),
                vectors(machine),
                gpu(machine, want),
                cublas(machine),
                nccl(machine),
                memory(machine),
                shared(machine, want),
                ports(machine, want));
    }

    private static Finding versions(Machine machine) {
        Machine.Versions versions = machine.versions();
        return Finding.ok(
                ErrorCode.NO_SPARK,
                "Java " + versions.java() + ", Spark " + versions.spark() + " (Scala " + versions.scala()
                        + "), Lockstep " + versions.lockstep());
    }

    private static Finding vectors(Machine machine) {
        Machine.Cpu cpu = machine.cpu();
        String which = cpu.cores() + " cores" + (cpu.model().isEmpty() ? "" : ", " + cpu.model())
                + (cpu.features().isEmpty() ? "" : " (" + String.join(" ", cpu.features()) + ")");
        return cpu.vectors()
                ? Finding.ok(ErrorCode.NO_VECTORS, which + ", vectors on")
                : Finding.warn(
                        ErrorCode.NO_VECTORS,
                        which + ", but the Vector API is off: kernels are plain Java, several times slower",
                        "--conf spark.executor.extraJavaOptions=--add-modules=jdk.incubator.vector and the same for"
                                + " spark.driver.extraJavaOptions; Spark 4 does so by itself");
    }

    private static Finding gpu(Machine machine, Want want) {
        Machine.Gpu gpu = machine.gpu();
        ErrorCode lacks = gpu.lacks();
        if (lacks == null) {
            return Finding.ok(ErrorCode.NO_DEVICE, gpu.driver());
        }
        return want.device == DeviceChoice.CUDA
                ? Finding.fail(lacks, gpu.driver(), "--device cpu, or NVIDIA's driver, 525 or newer, on that machine")
                : Finding.ok(lacks, "no GPU, ranks compute on cores: " + gpu.driver());
    }

    private static Finding cublas(Machine machine) {
        String where = machine.gpu().cublas();
        if (machine.gpu().hasCublas()) {
            return Finding.ok(ErrorCode.NO_LIBRARY, "cuBLAS: " + where);
        }
        return machine.gpu().lacks() == null
                ? Finding.fail(
                        ErrorCode.NO_LIBRARY,
                        where,
                        "--conf " + Settings.GPU_CUBLAS.key() + "=/path/to/libcublas.so.13 or .12, or none")
                : Finding.ok(ErrorCode.NO_LIBRARY, where + NEEDLESS);
    }

    private static Finding nccl(Machine machine) {
        String where = machine.gpu().nccl();
        if (machine.gpu().hasNccl()) {
            return Finding.ok(ErrorCode.NO_LIBRARY, where);
        }
        return machine.gpu().lacks() == null
                ? Finding.note(ErrorCode.NO_LIBRARY, where, "groups of GPUs exchange through host memory without it")
                : Finding.ok(ErrorCode.NO_LIBRARY, where + NEEDLESS);
    }

    private static Finding memory(Machine machine) {
        Machine.Memory memory = machine.memory();
        String sizes = Machine.mebibytes(memory.heap()) + " of heap, the machine or its container has "
                + Machine.mebibytes(memory.limit());
        return memory.limit() >= 0 && memory.heap() > memory.limit()
                ? Finding.warn(
                        ErrorCode.NOT_ENOUGH_MEMORY,
                        sizes + ": the system will kill the process before its heap is full",
                        "a smaller spark.executor.memory, or a larger container")
                : Finding.ok(ErrorCode.NOT_ENOUGH_MEMORY, sizes);
    }

    private static Finding shared(Machine machine, Want want) {
        Machine.Memory memory = machine.memory();
        String sizes = "/dev/shm: " + Machine.mebibytes(memory.sharedFree()) + " free of "
                + Machine.mebibytes(memory.shared());
        return want.transports.contains(TransportKind.SHARED)
                        && memory.shared() >= 0
                        && memory.sharedFree() < SHARED_LEAST
                ? Finding.warn(
                        ErrorCode.SHARED_MEMORY,
                        sizes + ", JVMs of a host meet there: a group wants up to 16 MiB",
                        "a larger /dev/shm (docker --shm-size=1g), or --conf " + Settings.TRANSPORTS.key()
                                + "=thread,tcp")
                : Finding.ok(ErrorCode.SHARED_MEMORY, sizes);
    }

    private static Finding ports(Machine machine, Want want) {
        Machine.Ports ports = machine.ports();
        if (ports.first() == 0) {
            return Finding.ok(ErrorCode.NOT_ENOUGH_PORTS, "ranks listen at any free port");
        }
        String range = ports.free() + " ports of " + ports.first() + "-" + ports.last() + " are free";
        return ports.free() < want.ranks
                ? Finding.fail(
                        ErrorCode.NOT_ENOUGH_PORTS,
                        range + ", " + want.ranks + " ranks need one each",
                        "a wider range of " + Settings.PORT_MIN.key() + " and " + Settings.PORT_MAX.key())
                : Finding.ok(ErrorCode.NOT_ENOUGH_PORTS, range);
    }

    /** One finding for each thing that is not the same everywhere, with who has what. */
    static List<Finding> differences(List<Machine> machines) {
        Map<String, Map<String, List<Machine>>> all = new LinkedHashMap<>();
        for (Machine machine : machines) {
            machine.comparable()
                    .forEach((name, value) -> all.computeIfAbsent(name, any -> new LinkedHashMap<>())
                            .computeIfAbsent(value, any -> new ArrayList<>())
                            .add(machine));
        }
        List<Finding> found = new ArrayList<>();
        all.forEach((name, values) -> {
            if (values.size() > 1) {
                String who = values.entrySet().stream()
                        .map(entry -> entry.getKey() + " (" + names(entry.getValue(), 0) + ")")
                        .collect(Collectors.joining("; "));
                found.add(new Finding(
                        MUST_AGREE.contains(name) ? Finding.Level.FAIL : Finding.Level.WARN,
                        ErrorCode.EXECUTORS_DIFFER,
                        name + " differs between executors: " + who,
                        MUST_AGREE.contains(name)
                                ? "the same jars on every host"
                                : "make the hosts alike; the slowest rank sets the pace of its group"));
            }
        });
        return found;
    }

    /** Names for people, with the host where it says more. */
    private static String names(List<Machine> where, int all) {
        if (where.size() == all) {
            return "all " + all + " executors";
        }
        return (where.size() == 1 ? "executor " : "executors ")
                + where.stream()
                        .map(machine -> machine.process() + " on " + machine.host())
                        .collect(Collectors.joining(", "));
    }
}
