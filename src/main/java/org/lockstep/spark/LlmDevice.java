package org.lockstep.spark;

import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.TreeMap;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkContext;
import org.apache.spark.resource.ResourceProfile;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.cuda.CudaDriver;
import org.lockstep.cuda.CudaOptions;
import org.lockstep.cuda.NcclOptions;
import org.lockstep.cuda.PeerOptions;
import org.lockstep.cuda.Use;
import org.lockstep.cuda.VisibleDevice;
import org.lockstep.spark.device.BackendFactory;
import org.lockstep.spark.device.RankDevice;
import org.lockstep.spark.preflight.TaskRequest;
import org.lockstep.spark.settings.DeviceChoice;
import org.lockstep.spark.settings.Setting;
import org.lockstep.spark.settings.Settings;
import org.lockstep.topology.GroupKind;

/**
 * What a user set of the ranks' devices; what is empty is left to the configuration, then to the default.
 *
 * @param choice of the kind
 * @param memoryUtilization part of a GPU's memory that its ranks take
 * @param enforceEager whether no step is replayed as a CUDA graph
 * @param backend another one than the device's own
 * @param resources what the ranks' tasks ask for
 */
record LlmDevice(
        Optional<DeviceChoice> choice,
        OptionalDouble memoryUtilization,
        Optional<Boolean> enforceEager,
        Optional<BackendFactory> backend,
        Optional<ResourceProfile> resources) {
    private static final String TASK_GPUS = "spark.task.resource.gpu.amount";

    static final LlmDevice NONE = new LlmDevice(
            Optional.empty(), OptionalDouble.empty(), Optional.empty(), Optional.empty(), Optional.empty());

    LlmDevice withChoice(DeviceChoice device) {
        return new LlmDevice(Optional.of(device), memoryUtilization, enforceEager, backend, resources);
    }

    LlmDevice withMemoryUtilization(double part) {
        return new LlmDevice(choice, OptionalDouble.of(part), enforceEager, backend, resources);
    }

    LlmDevice withEnforceEager(boolean eager) {
        return new LlmDevice(choice, memoryUtilization, Optional.of(eager), backend, resources);
    }

    LlmDevice withBackend(BackendFactory other) {
        return new LlmDevice(choice, memoryUtilization, enforceEager, Optional.of(other), resources);
    }

    LlmDevice withResources(ResourceProfile profile) {
        return new LlmDevice(choice, memoryUtilization, enforceEager, backend, Optional.of(profile));
    }

    /**
     * What the tasks of the ranks ask for.
     *
     * @throws LockstepException TASK_RESOURCES for a profile that no barrier stage can have
     */
    TaskRequest tasks(SparkContext spark) {
        return TaskRequest.of(spark, resources);
    }

    /**
     * The device of each of {@code world} ranks, as far as the driver can know.
     *
     * @throws LockstepException NO_DEVICE, OLD_DRIVER, NO_LIBRARY where GPUs were asked for and cannot be; USAGE
     */
    RankDevice resolve(SparkContext spark, int world) {
        SparkConf conf = tasks(spark).conf();
        DeviceChoice asked = choice.orElse(Settings.DEVICE.in(conf));
        if (asked == DeviceChoice.CPU) {
            return RankDevice.CPU;
        }
        return spark.isLocal() ? here(conf, asked, world) : onTheCluster(conf, asked);
    }

    /** Under a local master all ranks are in this process, and the devices that it sees are theirs in turn. */
    private RankDevice here(SparkConf conf, DeviceChoice asked, int world) {
        CudaDriver driver = CudaDriver.create();
        if (asked == DeviceChoice.AUTO && !driver.isEnabled()) {
            return RankDevice.CPU;
        }
        driver.verifyEnabled();
        List<VisibleDevice> devices = driver.devices();
        int sharing = (world + devices.size() - 1) / devices.size();
        return RankDevice.cuda(options(conf, sharing), devices.subList(0, Math.min(world, devices.size())));
    }

    /** The driver need not have a GPU itself: Spark's own request says whether tasks are given some. */
    private RankDevice onTheCluster(SparkConf conf, DeviceChoice asked) {
        double amount = conf.getDouble(TASK_GPUS, 0);
        if (amount == 0 && asked == DeviceChoice.AUTO) {
            return RankDevice.CPU;
        }
        int sharing = amount > 0 && amount < 1 ? (int) Math.floor(1 / amount) : 1;
        return RankDevice.cuda(options(conf, sharing), List.of());
    }

    private static NcclOptions nccl(SparkConf conf) {
        String named = Settings.GPU_NCCL.in(conf);
        boolean hidden = Settings.encrypts(conf) && !Settings.NCCL_PLAIN.in(conf);
        if (named.equals("none") || (named.equals("auto") && hidden)) {
            return NcclOptions.NONE;
        }
        if (hidden) {
            throw LockstepException.report(
                            ErrorCode.PLAIN_TRAFFIC,
                            Settings.GPU_NCCL.key() + "=" + named
                                    + ": NCCL does not encrypt what ranks send, and ranks of" + " this run do")
                    .attempt("--conf " + Settings.NCCL_PLAIN.key() + "=true if the network is trusted, or "
                            + Settings.GPU_NCCL.key() + "=none")
                    .exception();
        }
        Map<String, Integer> ctas =
                ofGroups(conf, Settings.NCCL_TENSOR_CTAS, Settings.NCCL_PIPELINE_CTAS, Settings.NCCL_DATA_CTAS);
        Map<String, Integer> classes =
                ofGroups(conf, Settings.NCCL_TENSOR_CLASS, Settings.NCCL_PIPELINE_CLASS, Settings.NCCL_DATA_CLASS);
        boolean first = Settings.NCCL_HIGH_PRIORITY.in(conf);
        boolean register = Settings.NCCL_REGISTER.in(conf);
        boolean shared = Settings.NCCL_SHARED_GPU.in(conf);
        return named.equals("auto")
                ? new NcclOptions(Use.AUTO, null, ctas, classes, first, register, shared)
                : new NcclOptions(Use.ON, named, ctas, classes, first, register, shared);
    }

    private static PeerOptions peer(SparkConf conf) {
        String use = Settings.GPU_PEER.in(conf).toUpperCase(Locale.ROOT);
        try {
            return new PeerOptions(Use.valueOf(use), Settings.GPU_PEER_LIMIT.in(conf));
        } catch (IllegalArgumentException e) {
            throw LockstepException.report(ErrorCode.USAGE, String.valueOf(e.getMessage()))
                    .attempt(Settings.GPU_PEER_LIMIT.key() + "=8m")
                    .cause(e)
                    .exception();
        }
    }

    private static Map<String, Integer> ofGroups(
            SparkConf conf, Setting<OptionalInt> tensor, Setting<OptionalInt> pipeline, Setting<OptionalInt> data) {
        Map<String, Integer> set = new TreeMap<>();
        tensor.in(conf).ifPresent(number -> set.put(GroupKind.TENSOR.token(), number));
        pipeline.in(conf).ifPresent(number -> set.put(GroupKind.PIPELINE.token(), number));
        data.in(conf).ifPresent(number -> set.put(GroupKind.DATA.token(), number));
        return set;
    }

    private CudaOptions options(SparkConf conf, int sharing) {
        String cublas = Settings.GPU_CUBLAS.in(conf);
        double part = memoryUtilization.orElse(Settings.GPU_MEMORY_UTILIZATION.in(conf));
        boolean eager = enforceEager.orElse(Settings.GPU_ENFORCE_EAGER.in(conf));
        try {
            return new CudaOptions(cublas.equals("auto") ? null : cublas, part, sharing, eager, nccl(conf), peer(conf));
        } catch (IllegalArgumentException e) {
            throw LockstepException.report(ErrorCode.USAGE, String.valueOf(e.getMessage()))
                    .attempt("--gpu-memory-utilization 0.9")
                    .cause(e)
                    .exception();
        }
    }
}
