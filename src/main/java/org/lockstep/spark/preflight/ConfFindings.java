package org.lockstep.spark.preflight;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.apache.spark.SparkConf;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.spark.settings.Settings;
import scala.Tuple2;

/**
 * What a configuration alone tells, whatever is to run: a table of checks, each of which finds nothing, or one thing, or several.
 */
public final class ConfFindings {
    private static final String GPUS_OF_A_TASK = "spark.task.resource.gpu.amount";
    private static final String GPUS_OF_AN_EXECUTOR = "spark.executor.resource.gpu.amount";

    private ConfFindings() {}

    /** In the order of the table: what cannot run stands before what is only slow or plain. */
    public static List<Finding> of(SparkConf conf) {
        Stream<Function<SparkConf, Stream<Finding>>> checks = Stream.of(
                ConfFindings::settings,
                ConfFindings::connect,
                ConfFindings::dynamicAllocation,
                ConfFindings::localGpus,
                ConfFindings::cpus,
                ConfFindings::gpus,
                ConfFindings::barrierTimeout,
                ConfFindings::plainTraffic,
                ConfFindings::speculation);
        return checks.flatMap(check -> refusals(() -> check.apply(conf).toList()))
                .toList();
    }

    /** What a check found; that it could not read a value is a finding too. */
    private static Stream<Finding> refusals(Supplier<List<Finding>> check) {
        try {
            return check.get().stream();
        } catch (LockstepException refusal) {
            return Stream.of(Finding.of(refusal));
        }
    }

    private static Stream<Finding> settings(SparkConf conf) {
        Settings.check(conf);
        return Stream.empty();
    }

    private static Stream<Finding> connect(SparkConf conf) {
        boolean connects = conf.get("spark.api.mode", "classic").equals("connect") || conf.contains("spark.remote");
        return connects
                ? Stream.of(Finding.fail(
                        ErrorCode.SPARK_CONNECT,
                        "the configuration asks for a Spark Connect session: it has no RDDs, so no barrier stages",
                        "spark.api.mode=classic without spark.remote, or submit the job to the cluster"))
                : Stream.empty();
    }

    private static Stream<Finding> dynamicAllocation(SparkConf conf) {
        String key = "spark.dynamicAllocation.enabled";
        return setting(conf, key, () -> conf.getBoolean(key, false))
                ? Stream.of(Finding.fail(
                        ErrorCode.DYNAMIC_ALLOCATION,
                        "dynamic allocation is on: barrier stages need all their slots at once, and Spark refuses"
                                + " the two together (SPARK-24942)",
                        "--conf spark.dynamicAllocation.enabled=false"))
                : Stream.empty();
    }

    private static Stream<Finding> localGpus(SparkConf conf) {
        String master = conf.get("spark.master", "");
        return !isLocal(master)
                ? Stream.empty()
                : Stream.of(conf.getAll())
                        .filter(entry -> entry._1().matches("spark\\.task\\.resource\\..+\\.amount"))
                        .map(entry -> localGpu(entry, master));
    }

    private static Finding localGpu(Tuple2<String, String> entry, String master) {
        return Finding.fail(
                ErrorCode.LOCAL_GPU,
                entry._1() + " = " + entry._2() + " under the local master " + master
                        + ": Spark has no such resources there and would wait for ever",
                "remove " + entry._1() + "; a local master needs no GPU resources");
    }

    private static Stream<Finding> cpus(SparkConf conf) {
        Optional<Integer> cores = executorCores(conf);
        int cpus = cpusOfATask(conf);
        return isLocal(conf.get("spark.master", "")) || cores.isEmpty() || cpus <= cores.get()
                ? Stream.empty()
                : Stream.of(Finding.fail(
                        ErrorCode.TASK_RESOURCES,
                        "a task wants " + cpus + " cores (spark.task.cpus), an executor has " + cores.get()
                                + " (spark.executor.cores): no rank could ever start",
                        "--conf spark.task.cpus=" + cores.get() + " or less, or more spark.executor.cores"));
    }

    /** One rank drives one GPU: of a part of one, or of several, somebody has the loss. */
    private static Stream<Finding> gpus(SparkConf conf) {
        if (isLocal(conf.get("spark.master", ""))) {
            return Stream.empty();
        }
        double ofATask = setting(conf, GPUS_OF_A_TASK, () -> conf.getDouble(GPUS_OF_A_TASK, 0));
        int ofAnExecutor = setting(conf, GPUS_OF_AN_EXECUTOR, () -> conf.getInt(GPUS_OF_AN_EXECUTOR, 0));
        int byCores =
                executorCores(conf).map(cores -> cores / cpusOfATask(conf)).orElse(0);
        Stream.Builder<Finding> found = Stream.builder();
        if (ofATask > 0 && ofAnExecutor < ofATask) {
            found.add(Finding.fail(
                    ErrorCode.TASK_RESOURCES,
                    "a task wants " + conf.get(GPUS_OF_A_TASK) + " GPUs, an executor has " + ofAnExecutor
                            + ": no rank could ever start",
                    "--conf " + GPUS_OF_AN_EXECUTOR + "=" + (int) Math.ceil(ofATask) + " or more"));
        } else if (ofATask > 0 && ofATask < 1 && Settings.NCCL_SHARED_GPU.in(conf) && byCores > 1) {
            found.add(Finding.fail(
                    ErrorCode.TASK_RESOURCES,
                    "an executor has cores for " + byCores + " tasks that would share a GPU, and NCCL ("
                            + Settings.NCCL_SHARED_GPU.key() + ") takes only an executor for a host of its own",
                    "--conf spark.task.cpus=" + executorCores(conf).orElse(1) + ", one rank to an executor"));
        } else if (ofATask > 0 && ofATask < 1) {
            found.add(Finding.warn(
                    ErrorCode.TASK_RESOURCES,
                    "a task takes " + conf.get(GPUS_OF_A_TASK) + " of a GPU: ranks would share one, which NCCL refuses",
                    "--conf " + GPUS_OF_A_TASK + "=1"));
        } else if (ofATask > 1) {
            found.add(Finding.warn(
                    ErrorCode.TASK_RESOURCES,
                    "a task takes " + conf.get(GPUS_OF_A_TASK) + " GPUs and a rank drives one: the others idle",
                    "--conf " + GPUS_OF_A_TASK + "=1"));
        } else if (ofATask == 0 && ofAnExecutor > 0) {
            found.add(Finding.warn(
                    ErrorCode.TASK_RESOURCES,
                    "executors hold " + ofAnExecutor + " GPUs each, which no task asks for",
                    "--conf " + GPUS_OF_A_TASK + "=1"));
        }
        if (ofATask == 1 && ofAnExecutor > 0 && byCores > ofAnExecutor) {
            found.add(Finding.note(
                    ErrorCode.TASK_RESOURCES,
                    "an executor has cores for " + byCores + " tasks and " + ofAnExecutor + " GPUs: " + ofAnExecutor
                            + " ranks run there",
                    "--conf spark.task.cpus=" + executorCores(conf).orElse(1) / ofAnExecutor
                            + " gives each rank its part of the cores"));
        }
        return found.build();
    }

    private static Stream<Finding> barrierTimeout(SparkConf conf) {
        String key = "spark.barrier.sync.timeout";
        Duration sparks = Duration.ofSeconds(setting(conf, key, () -> conf.getTimeAsSeconds(key, "365d")));
        Duration ours = Settings.MEETING_TIMEOUT.in(conf);
        return sparks.compareTo(ours) >= 0
                ? Stream.empty()
                : Stream.of(Finding.warn(
                        ErrorCode.BARRIER_TIMEOUT,
                        key + " (" + sparks.toSeconds() + " s) ends the meeting of the ranks before "
                                + Settings.MEETING_TIMEOUT.key() + " (" + ours.toSeconds()
                                + " s), without naming who is missing",
                        "--conf " + key + "=365d, Spark's default: ours holds"));
    }

    /** The key of an attempt is as private as the task's closure that it travels in. */
    private static Stream<Finding> plainTraffic(SparkConf conf) {
        String master = conf.get("spark.master", "local");
        if (isLocal(master) || master.startsWith("local-cluster[")) {
            return Stream.empty();
        }
        String key = "spark.authenticate";
        if (!setting(conf, key, () -> conf.getBoolean(key, false))) {
            return Stream.of(Finding.warn(
                    ErrorCode.PLAIN_TRAFFIC,
                    "Spark's own traffic is not authenticated, and the key of the ranks travels over it",
                    "--conf spark.authenticate=true --conf spark.network.crypto.enabled=true, unless the network is"
                            + " trusted"));
        }
        return Settings.encrypts(conf)
                ? Stream.empty()
                : Stream.of(Finding.warn(
                        ErrorCode.PLAIN_TRAFFIC,
                        "what ranks send between hosts is authenticated and not encrypted",
                        "--conf " + Settings.ENCRYPT.key() + "=true, unless the network is trusted"));
    }

    private static Stream<Finding> speculation(SparkConf conf) {
        String key = "spark.speculation";
        return setting(conf, key, () -> conf.getBoolean(key, false))
                ? Stream.of(Finding.note(
                        ErrorCode.NO_EFFECT,
                        "speculation is on: Spark leaves barrier stages out of it, so ranks are never doubled",
                        "nothing to do"))
                : Stream.empty();
    }

    private static Optional<Integer> executorCores(SparkConf conf) {
        String key = "spark.executor.cores";
        return conf.contains(key) ? Optional.of(setting(conf, key, () -> conf.getInt(key, 1))) : Optional.empty();
    }

    /** The cores that each task takes of its executor. */
    public static int cpusOfATask(SparkConf conf) {
        return setting(conf, "spark.task.cpus", () -> Math.max(1, conf.getInt("spark.task.cpus", 1)));
    }

    /** {@code local[*]} and its kind, where all ranks are threads of this JVM. */
    public static boolean isLocal(String master) {
        return master.equals("local") || master.startsWith("local[");
    }

    /** A setting of Spark's own, whose errors do not say which it is. */
    static <T> T setting(SparkConf conf, String key, Supplier<T> read) {
        try {
            return read.get();
        } catch (IllegalArgumentException e) {
            throw LockstepException.report(ErrorCode.USAGE, key + " = " + conf.get(key) + ": " + e.getMessage())
                    .cause(e)
                    .exception();
        }
    }
}
