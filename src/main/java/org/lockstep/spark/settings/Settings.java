package org.lockstep.spark.settings;

import java.time.Duration;
import java.util.Arrays;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import org.apache.spark.SparkConf;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.OperationTerms;
import org.lockstep.collective.TransportKind;
import org.lockstep.topology.GroupKind;
import scala.Tuple2;

/**
 * Every key of the configuration. A method of a builder overrides the key, the key its default; an unknown
 * {@code spark.lockstep.*} key is an error that names the nearest.
 *
 * <p>No key contains "token", "secret" or "password": Spark blanks the values of such keys in its logs and pages.
 */
public final class Settings {
    /** Of all keys. */
    public static final String PREFIX = "spark.lockstep.";

    public static final Setting<Duration> MEETING_TIMEOUT = Setting.time(
            "spark.lockstep.meeting.timeout",
            "120s",
            "how long the ranks of an attempt have to meet and connect; Spark's own limit is 365 days");

    public static final Setting<Duration> COLLECTIVE_TIMEOUT = Setting.time(
            "spark.lockstep.collective.timeout",
            "600s",
            "how long one collective operation may take, and a GPU for what its rank alone has given it");

    public static final Setting<Optional<Duration>> TENSOR_TIMEOUT = Setting.timeOrAuto(
            "spark.lockstep.collective.tensor.timeout", "the same in tensor groups; auto: as in all");

    public static final Setting<Optional<Duration>> PIPELINE_TIMEOUT = Setting.timeOrAuto(
            "spark.lockstep.collective.pipeline.timeout", "the same in pipeline groups; auto: as in all");

    public static final Setting<Long> MINIMUM_RATE = Setting.bytes(
            "spark.lockstep.collective.minRate",
            "10m",
            "bytes per second that are slow and not stuck: an operation's own bytes at this rate come on top of its timeout");

    public static final Setting<Boolean> NAN_CHECK = Setting.flag(
            "spark.lockstep.collective.nanCheck",
            false,
            "look through the buffers that ranks exchange for NaN and infinities first, and fail with the rank, the operation"
                    + " and, inside a layer, the layer that had one; slow, and no CUDA graphs");

    public static final Setting<Duration> RUN_TIMEOUT = Setting.time(
            "spark.lockstep.run.timeout",
            "168h",
            "how long a rank waits for the slowest rank's rows and for the slowest replica's whole work");

    public static final Setting<Boolean> STRICT_PLACEMENT = Setting.flag(
            "spark.lockstep.placement.strict",
            false,
            "refuse to run when a tensor group spans hosts, instead of reporting it");

    public static final Setting<Set<TransportKind>> TRANSPORTS = Setting.transports(
            "spark.lockstep.transports",
            "thread,shared,tcp",
            "how ranks may reach each other: threads of one JVM, shared memory between JVMs of a host, sockets; tcp"
                    + " always may");

    public static final Setting<String> ENCRYPT = Setting.choice(
            "spark.lockstep.encrypt",
            "auto",
            "encrypt what ranks send over sockets (AES-256-GCM); auto: if Spark encrypts its own, by"
                    + " spark.network.crypto.enabled, spark.authenticate.enableSaslEncryption or spark.ssl.rpc.enabled",
            "auto",
            "true",
            "false");

    public static final Setting<String> NETWORK_INTERFACE = Setting.text(
            "spark.lockstep.network.interface",
            "auto",
            "where ranks listen: auto, at the address that Spark has for the executor; all, there and at the host's other"
                    + " addresses; or names such as eth1,eth0, best first");

    public static final Setting<Integer> PORT_MIN = Setting.port(
            "spark.lockstep.network.port.min", 0, "the lowest port that a rank may listen at; 0 for any free one");

    public static final Setting<Integer> PORT_MAX = Setting.port(
            "spark.lockstep.network.port.max", 0, "the highest; each rank of a host needs one while it connects");

    public static final Setting<Duration> SLOTS_WAIT = Setting.time(
            "spark.lockstep.slots.wait",
            "30s",
            "how long to wait for executors of a cluster to register before too few slots are an error; local masters"
                    + " never wait");

    public static final Setting<Integer> ATTEMPTS = Setting.count(
            "spark.lockstep.attempts",
            3,
            "how often generate is tried in all, where executors or peers are lost (--attempts)");

    public static final Setting<String> CHECKPOINT_DIR = Setting.text(
            "spark.lockstep.checkpointDir",
            "auto",
            "where finished rows are kept until a run is over, on a file system that all executors share; auto: a"
                    + " directory of the run alone (--checkpoint-dir)");

    public static final Setting<Boolean> RESUME = Setting.flag(
            "spark.lockstep.resume", false, "go on with the unfinished run in the checkpoint directory (--resume)");

    public static final Setting<String> ROW_ERRORS = Setting.choice(
            "spark.lockstep.rows.onError",
            "keep",
            "a row that cannot be answered: keep it with its error, or fail the run (--on-row-error)",
            "keep",
            "fail");

    public static final Setting<Integer> MAX_SEQUENCES = Setting.count(
            "spark.lockstep.batch.maxSequences", 32, "rows that a replica generates together at most (--max-num-seqs)");

    public static final Setting<Integer> MAX_STEP_LENGTH = Setting.count(
            "spark.lockstep.batch.maxStepLength",
            2048,
            "positions that one step of a replica computes at most, over all its rows; a longer prompt takes several"
                    + " (--max-num-batched-tokens)");

    public static final Setting<OptionalLong> CACHE_MEMORY = Setting.bytesOrAuto(
            "spark.lockstep.cache.memory",
            "memory for each rank's key/value cache at most; auto: of the heap that the driver counts for a rank, less weights"
                    + " and a step, what spark.memory.fraction leaves; on a GPU what fits");

    public static final Setting<String> CACHE_DTYPE = Setting.choice(
            "spark.lockstep.cache.dtype",
            "auto",
            "type that keys and values are held in: float32; bfloat16 or float16 on GPUs; auto: that of the weights on GPUs"
                    + " where they are of 16 bits, else float32 (vLLM's kv-cache-dtype)",
            "auto",
            "float32",
            "bfloat16",
            "float16");

    public static final Setting<Integer> CACHE_BLOCK_SIZE = Setting.count(
            "spark.lockstep.cache.blockSize", 16, "positions in a block of the key/value cache (--block-size)");

    public static final Setting<Boolean> CACHE_PREFIXES = Setting.flag(
            "spark.lockstep.cache.prefixes",
            true,
            "prompts that begin alike are computed once: they share the cache's blocks of that beginning"
                    + " (--enable-prefix-caching)");

    public static final Setting<Duration> RESIDENT_IDLE = Setting.timeOrZero(
            "spark.lockstep.resident.idle",
            "10m",
            "how long loaded shards and connected groups stay in the executors for the next generate of the same Llm; 0s:"
                    + " they end with each run");

    public static final Setting<DeviceChoice> DEVICE = Setting.device(
            "spark.lockstep.device",
            "what ranks compute on: cpu; cuda; or auto: GPUs where there are some, of the machine under a local master, on a"
                    + " cluster by spark.task.resource.gpu.amount (--device)");

    public static final Setting<Double> GPU_MEMORY_UTILIZATION = Setting.part(
            "spark.lockstep.gpu.memoryUtilization",
            0.9,
            "part of a GPU's memory that its ranks take at most, for weights, cache and steps (--gpu-memory-utilization)");

    public static final Setting<Boolean> GPU_ENFORCE_EAGER = Setting.flag(
            "spark.lockstep.gpu.enforceEager",
            false,
            "launch the kernels of each step one by one; else steps that only decode are replayed as CUDA graphs, but for"
                    + " tensor groups that do not exchange by NCCL (--enforce-eager)");

    public static final Setting<String> GPU_CUBLAS = Setting.text(
            "spark.lockstep.gpu.cublas",
            "auto",
            "cuBLAS of CUDA 13 or 12: auto, the first that is found; its path; or none: products by Lockstep's own kernels");

    public static final Setting<String> GPU_NCCL = Setting.text(
            "spark.lockstep.gpu.nccl",
            "auto",
            "NCCL 2.18 or newer, by which groups of GPUs exchange: auto, the first that is found, if each rank has a GPU of its"
                    + " own; its path; or none");

    public static final Setting<String> GPU_PEER = Setting.choice(
            "spark.lockstep.gpu.peer",
            "auto",
            "whether ranks of a host whose GPUs reach each other exchange through GPU memory: those of one JVM, which may also share"
                    + " a GPU, all but what NCCL does; those of several, with a GPU each, small all-reduces"
                    + " (spark.lockstep.gpu.peerLimit), the rest by NCCL or the host. auto, where they can; on: never by NCCL, and an"
                    + " error where they cannot; off",
            "auto",
            "on",
            "off");

    public static final Setting<Long> GPU_PEER_LIMIT = Setting.bytes(
            "spark.lockstep.gpu.peerLimit",
            "8m",
            "the largest all-reduce that GPUs of a host do by kernels which wait for each other and write to memory that all reach,"
                    + " at most 16m. The default is vLLM's, not measured here. More than two that PCIe alone joins leave it to NCCL where there"
                    + " is one, as in vLLM. Each group takes twice as much of a GPU");

    public static final Setting<Boolean> NCCL_PLAIN = Setting.flag(
            "spark.lockstep.nccl.plain",
            false,
            "let NCCL carry what it cannot encrypt though ranks encrypt what they send (spark.lockstep.encrypt); else groups"
                    + " then exchange through the host");

    public static final Setting<OptionalInt> NCCL_TENSOR_CTAS = Setting.countOrAuto(
            "spark.lockstep.nccl.tensor.maxCtas",
            "thread blocks of a GPU that NCCL's kernels take at most in tensor groups; auto: NCCL's choice");

    public static final Setting<OptionalInt> NCCL_PIPELINE_CTAS =
            Setting.countOrAuto("spark.lockstep.nccl.pipeline.maxCtas", "the same in pipeline groups");

    public static final Setting<OptionalInt> NCCL_DATA_CTAS =
            Setting.countOrAuto("spark.lockstep.nccl.data.maxCtas", "the same in data groups");

    public static final Setting<OptionalInt> NCCL_TENSOR_CLASS = Setting.countFromZeroOrAuto(
            "spark.lockstep.nccl.tensor.trafficClass",
            "traffic class of what NCCL (2.26 or newer) sends between hosts in tensor groups, 0 or more, as the network defines"
                    + " it: over InfiniBand and RoCE both the service level and the traffic class, unless NCCL_IB_SL and"
                    + " NCCL_IB_TC are set; sockets have none; auto: NCCL's choice");

    public static final Setting<OptionalInt> NCCL_PIPELINE_CLASS =
            Setting.countFromZeroOrAuto("spark.lockstep.nccl.pipeline.trafficClass", "the same in pipeline groups");

    public static final Setting<OptionalInt> NCCL_DATA_CLASS =
            Setting.countFromZeroOrAuto("spark.lockstep.nccl.data.trafficClass", "the same in data groups");

    public static final Setting<Boolean> NCCL_HIGH_PRIORITY = Setting.flag(
            "spark.lockstep.nccl.highPriority",
            false,
            "operations that are queued (Communicator.async) go before other work on the GPU; they have a stream of their own"
                    + " in any case");

    public static final Setting<Boolean> NCCL_REGISTER = Setting.flag(
            "spark.lockstep.nccl.register",
            false,
            "register the GPU memory of ranks with NCCL (2.19 or newer), so that networks that reach it, by GPUDirect RDMA or"
                    + " SHARP, are given it without a copy: not while NCCL goes by PXN (NCCL_PXN_DISABLE=1); inside a host NCCL"
                    + " makes no use of it, but for NCCL_LEGACY_CUDA_REGISTER=1, which NVIDIA advises against");

    public static final Setting<Boolean> NCCL_SHARED_GPU = Setting.flag(
            "spark.lockstep.nccl.sharedGpu",
            false,
            "for checks alone: tasks of several executors that share a GPU (spark.task.resource.gpu.amount below 1) exchange by"
                    + " NCCL all the same, slowly: each executor is a host of its own to it (NCCL_HOSTID), reached over the"
                    + " loopback interface unless NCCL_SOCKET_IFNAME names another, without which executors are of one host");

    public static final Setting<OptionalInt> CPU_THREADS = Setting.countOrAuto(
            "spark.lockstep.cpu.threads",
            "cores that a rank computes on; auto: spark.task.cpus on a cluster; under local[n] the n cores, as far as the"
                    + " machine has them, in equal parts for the ranks");

    public static final Setting<String> FLIGHT_DIRECTORY = Setting.text(
            "spark.lockstep.flight.dir",
            "auto",
            "where the driver writes the flight record of a failed attempt, on any file system that Spark knows; auto: in"
                    + " flight/ of the checkpoint directory if one is named, else in the directory for temporary files; none:"
                    + " nowhere");

    private static final List<Setting<?>> ALL = List.of(
            MEETING_TIMEOUT,
            COLLECTIVE_TIMEOUT,
            TENSOR_TIMEOUT,
            PIPELINE_TIMEOUT,
            MINIMUM_RATE,
            NAN_CHECK,
            RUN_TIMEOUT,
            STRICT_PLACEMENT,
            TRANSPORTS,
            ENCRYPT,
            NETWORK_INTERFACE,
            PORT_MIN,
            PORT_MAX,
            SLOTS_WAIT,
            ATTEMPTS,
            CHECKPOINT_DIR,
            RESUME,
            ROW_ERRORS,
            MAX_SEQUENCES,
            MAX_STEP_LENGTH,
            CACHE_MEMORY,
            CACHE_DTYPE,
            CACHE_BLOCK_SIZE,
            CACHE_PREFIXES,
            RESIDENT_IDLE,
            CPU_THREADS,
            FLIGHT_DIRECTORY,
            DEVICE,
            GPU_MEMORY_UTILIZATION,
            GPU_ENFORCE_EAGER,
            GPU_CUBLAS,
            GPU_NCCL,
            GPU_PEER,
            GPU_PEER_LIMIT,
            NCCL_PLAIN,
            NCCL_TENSOR_CTAS,
            NCCL_PIPELINE_CTAS,
            NCCL_DATA_CTAS,
            NCCL_TENSOR_CLASS,
            NCCL_PIPELINE_CLASS,
            NCCL_DATA_CLASS,
            NCCL_HIGH_PRIORITY,
            NCCL_REGISTER,
            NCCL_SHARED_GPU);

    private Settings() {}

    /** Whether what ranks send over sockets is encrypted. */
    public static boolean encrypts(SparkConf conf) {
        String choice = ENCRYPT.in(conf);
        return choice.equals("auto")
                ? conf.getBoolean("spark.network.crypto.enabled", false)
                        || conf.getBoolean("spark.authenticate.enableSaslEncryption", false)
                        || conf.getBoolean("spark.ssl.rpc.enabled", false)
                : choice.equals("true");
    }

    /** What holds for each operation of ranks. */
    public static OperationTerms operations(SparkConf conf) {
        Map<GroupKind, Duration> ofKinds = new EnumMap<>(GroupKind.class);
        TENSOR_TIMEOUT.in(conf).ifPresent(limit -> ofKinds.put(GroupKind.TENSOR, limit));
        PIPELINE_TIMEOUT.in(conf).ifPresent(limit -> ofKinds.put(GroupKind.PIPELINE, limit));
        return new OperationTerms(COLLECTIVE_TIMEOUT.in(conf), ofKinds, MINIMUM_RATE.in(conf), NAN_CHECK.in(conf));
    }

    public static List<Setting<?>> all() {
        return ALL;
    }

    /**
     * Checks all {@code spark.lockstep.*} keys of {@code conf}: known, and of the right form.
     *
     * @throws LockstepException UNKNOWN_SETTING or USAGE
     */
    public static void check(SparkConf conf) {
        for (Tuple2<String, String> entry : conf.getAllWithPrefix(PREFIX)) {
            named(PREFIX + entry._1()).in(conf);
        }
    }

    /**
     * The setting of this key.
     *
     * @throws LockstepException UNKNOWN_SETTING naming the nearest
     */
    public static Setting<?> named(String key) {
        return ALL.stream()
                .filter(setting -> setting.key().equals(key))
                .findAny()
                .orElseThrow(() -> unknown(key));
    }

    private static LockstepException unknown(String key) {
        String nearest = ALL.stream()
                .map(Setting::key)
                .min(Comparator.comparingInt(known -> distance(known, key)))
                .orElseThrow();
        return LockstepException.report(ErrorCode.UNKNOWN_SETTING, "there is no setting " + key)
                .attempt("did you mean " + nearest + "?")
                .exception();
    }

    /** Levenshtein's edit distance. */
    private static int distance(String a, String b) {
        int[] row = new int[b.length() + 1];
        Arrays.setAll(row, j -> j);
        for (int i = 1; i <= a.length(); i++) {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.length(); j++) {
                int change = diagonal + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.min(change, 1 + Math.min(row[j], row[j - 1]));
            }
        }
        return row[b.length()];
    }
}
