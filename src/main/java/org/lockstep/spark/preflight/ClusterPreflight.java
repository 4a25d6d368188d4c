package org.lockstep.spark.preflight;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkContext;
import org.apache.spark.sql.SparkSession;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.cpu.Cores;
import org.lockstep.spark.failure.AttemptFailure;
import org.lockstep.spark.settings.Setting;
import org.lockstep.spark.settings.Settings;
import org.lockstep.topology.ParallelSizes;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.Tuple2;
import scala.collection.Iterator;

/**
 * What is looked at on the driver before anything is launched, because Spark would say it late, badly, or never.
 *
 * <p>Too few slots: Spark waits ten silent minutes. GPU requests under a local master: it waits for ever. Dynamic
 * allocation: it fails at submission, without the line to set.
 */
public final class ClusterPreflight {
    private static final Logger LOG = LoggerFactory.getLogger(ClusterPreflight.class);
    private static final Pattern LOCAL_CLUSTER =
            Pattern.compile("local-cluster\\[\\s*(\\d+)\\s*,\\s*(\\d+)\\s*,\\s*\\d+\\s*]");
    /** A local master that says how many threads it has, or that it has one. */
    private static final Pattern LOCAL = Pattern.compile("local(?:\\[\\s*(\\d{1,9})\\s*(?:,.*)?])?");

    private static final long POLL_MILLIS = 100;
    private static final long GRACE_NANOS = TimeUnit.SECONDS.toNanos(2); // who has them at once need not read of it
    private static final long SAY_NANOS = TimeUnit.SECONDS.toNanos(5);

    private ClusterPreflight() {}

    /**
     * The session's context.
     *
     * @throws LockstepException SPARK_CONNECT, whose sessions have none; NO_SPARK where it was stopped; NO_EFFECT where a
     *     setting of ours is another in the session than in its context, UNKNOWN_SETTING where there is none of that name
     */
    public static SparkContext context(SparkSession spark) {
        SparkContext context;
        try {
            context = spark.sparkContext();
        } catch (UnsupportedOperationException | LinkageError e) {
            throw LockstepException.report(
                            ErrorCode.SPARK_CONNECT,
                            "this is a Spark Connect session: it has no RDDs, so no barrier stages")
                    .attempt("spark.api.mode=classic, or submit the job to the cluster")
                    .cause(e)
                    .exception();
        }
        if (context.isStopped()) {
            throw LockstepException.report(
                            ErrorCode.NO_SPARK,
                            "the application of this session, " + context.appName() + ", was stopped")
                    .attempt("a new SparkSession, and Llm.load with it")
                    .exception();
        }
        refuseSettingsOfTheSession(spark, context.getConf());
        return context;
    }

    /** Ranks, and the layers below a session, go by the application's settings; a session's own would do nothing, in silence. */
    private static void refuseSettingsOfTheSession(SparkSession spark, SparkConf conf) {
        for (Iterator<Tuple2<String, String>> all = spark.conf().getAll().iterator(); all.hasNext(); ) {
            Tuple2<String, String> entry = all.next();
            if (entry._1().startsWith(Settings.PREFIX) && !entry._2().equals(conf.get(entry._1(), null))) {
                refuseSettingOfTheSession(Settings.named(entry._1()), entry._2(), conf);
            }
        }
    }

    private static void refuseSettingOfTheSession(Setting<?> setting, String value, SparkConf conf) {
        String key = setting.key();
        String effective = conf.get(key, setting.fallback());
        if (!value.equals(effective)) {
            throw LockstepException.report(
                            ErrorCode.NO_EFFECT,
                            key + " = " + value
                                    + " was set in a session (spark.conf.set, or SparkSession.builder().config when"
                                    + " Spark ran already), and ranks go by what the application was started with: "
                                    + effective + (conf.contains(key) ? "" : ", the default"))
                    .attempt(
                            "set it before Spark starts (--conf, spark-defaults.conf, the cluster's configuration), or call"
                                    + " Llm's method of that meaning; here spark.conf.unset(\"" + key + "\")")
                    .exception();
        }
    }

    /**
     * Checks the cluster against {@code sizes} and returns the world size: what the sizes fix, else {@code ranks}, else
     * as many replicas as there are slots for.
     *
     * @throws LockstepException with the sum and the line to set
     */
    public static int check(SparkContext spark, ParallelSizes sizes, OptionalInt ranks) {
        return check(spark, TaskRequest.of(spark, Optional.empty()), sizes, ranks);
    }

    /** The same for tasks that ask for this. */
    public static int check(SparkContext spark, TaskRequest tasks, ParallelSizes sizes, OptionalInt ranks) {
        check(tasks.conf());
        OptionalInt fixed = fixedWorld(sizes, ranks);
        int slots = awaitSlots(
                spark, tasks, fixed.orElse(Math.max(smallestWorld(sizes), expectedSlots(spark, tasks.conf()))));
        int replicas = Math.max(1, slots / smallestWorld(sizes));
        int world = fixed.orElse(replicas * smallestWorld(sizes));
        requireSlots(world, slots, sizes, tasks, executorsOf(spark));
        return world;
    }

    /** How many executors have registered; none under a local master. */
    public static int executors(SparkContext spark) {
        return Math.max(0, spark.statusTracker().getExecutorInfos().length - 1); // the driver is among them
    }

    /** Whose slots they are, for the sum. */
    private static String executorsOf(SparkContext spark) {
        if (spark.isLocal()) {
            return "";
        }
        int executors = executors(spark);
        return " (" + executors + (executors == 1 ? " executor)" : " executors)");
    }

    /**
     * Checks a configuration before there is a context: what {@link #check(SparkConf)} does, and the slots of a local
     * master.
     *
     * @throws LockstepException with the line to set
     */
    public static void check(SparkConf conf, ParallelSizes sizes, OptionalInt ranks) {
        check(conf);
        checkSlots(conf, sizes, ranks);
    }

    /** The sizes, and the slots of a local master. */
    public static void checkSlots(SparkConf conf, ParallelSizes sizes, OptionalInt ranks) {
        OptionalInt world = fixedWorld(sizes, ranks);
        String master = conf.get("spark.master", "");
        if (LOCAL.matcher(master).matches()) {
            int slots = localThreads(master) / ConfFindings.cpusOfATask(conf);
            TaskRequest tasks = new TaskRequest(conf, Optional.empty());
            requireSlots(world.orElse(smallestWorld(sizes)), slots, sizes, tasks, "");
        }
    }

    private static void requireSlots(int world, int slots, ParallelSizes sizes, TaskRequest tasks, String executors) {
        if (world > slots) {
            String master = tasks.conf().get("spark.master");
            int cpus = ConfFindings.cpusOfATask(tasks.conf());
            String source = tasks.profile().isPresent() ? "cpus of the resource profile" : "spark.task.cpus";
            throw LockstepException.report(
                            ErrorCode.NOT_ENOUGH_SLOTS,
                            "need " + world + " slots" + sum(sizes, world) + ", " + master + " offers " + slots
                                    + (cpus == 1 ? "" : ", each of " + cpus + " cores (" + source + ")") + executors)
                    .attempt(advice(master, (long) world * cpus, source))
                    .exception();
        }
    }

    /**
     * Checks a configuration, with or without a context that has it.
     *
     * @throws LockstepException with the line to set
     */
    public static void check(SparkConf conf) {
        refuse(ConfFindings.of(conf));
    }

    private static void refuse(List<Finding> findings) {
        findings.stream()
                .filter(finding -> finding.level() == Finding.Level.FAIL)
                .findFirst()
                .ifPresent(finding -> {
                    throw finding.exception();
                });
    }

    /** Says in the log what is not as it should be, and runs all the same. */
    public static void warn(SparkConf conf) {
        ConfFindings.of(conf).stream()
                .filter(finding -> finding.level() == Finding.Level.WARN)
                .forEach(finding -> LOG.warn("{}; {}", finding.sentence(), finding.line()));
    }

    /** The world size if it is known without asking the cluster. */
    private static OptionalInt fixedWorld(ParallelSizes sizes, OptionalInt ranks) {
        OptionalInt asked = ranks.isPresent() || infers(sizes) ? ranks : OptionalInt.of(smallestWorld(sizes));
        asked.ifPresent(world -> {
            try {
                sizes.resolve(world);
            } catch (IllegalArgumentException e) {
                throw LockstepException.report(ErrorCode.WORLD_SIZE, String.valueOf(e.getMessage()))
                        .attempt("choose sizes whose product is the number of ranks" + nearest(sizes, world))
                        .cause(e)
                        .exception();
            }
        });
        return asked;
    }

    /** The worlds next to this one that the sizes divide. */
    private static String nearest(ParallelSizes sizes, int world) {
        int part = smallestWorld(sizes);
        int below = world / part * part;
        if (below == world) {
            return ""; // it is something else that does not fit
        }
        return ": " + (below == 0 ? "" : below + " or ") + (below + part) + " ranks with these";
    }

    private static boolean infers(ParallelSizes sizes) {
        return dense(sizes).anyMatch(size -> size == ParallelSizes.INFER);
    }

    /** The product of the sizes that are given; the experts share the ranks of the dense axes. */
    private static int smallestWorld(ParallelSizes sizes) {
        return dense(sizes).filter(size -> size != ParallelSizes.INFER).reduce(1, Math::multiplyExact);
    }

    private static IntStream dense(ParallelSizes sizes) {
        return IntStream.of(sizes.tp(), sizes.cp(), sizes.dp(), sizes.pp());
    }

    private static String sum(ParallelSizes sizes, int world) {
        return " = tensor " + sizes.tp() + " × pipeline " + sizes.pp() + " × data "
                + world / smallestWorld(sizes.withData(1));
    }

    private static String advice(String master, long cores, String source) {
        return ConfFindings.isLocal(master)
                ? "--master local[" + cores + "]"
                : "more executors or cores (spark.executor.instances, spark.executor.cores), fewer " + source
                        + ", or smaller sizes; " + Settings.SLOTS_WAIT.key() + " waits longer for executors";
    }

    /**
     * The cores that a rank computes on. A number that is set and exceeds the cores of an executor is a warning: such ranks
     * take each other's time, which is slow and nothing worse.
     */
    public static Cores cores(SparkConf conf) {
        String master = conf.get("spark.master", "");
        OptionalInt set = Settings.CPU_THREADS.in(conf);
        int all = ConfFindings.isLocal(master)
                ? Math.min(localThreads(master), Runtime.getRuntime().availableProcessors())
                : ConfFindings.setting(
                        conf, "spark.executor.cores", () -> conf.getInt("spark.executor.cores", Integer.MAX_VALUE));
        if (set.isPresent()) {
            if (set.getAsInt() > all) {
                LOG.warn(
                        "{} = {}, but an executor of {} has {} cores: ranks will take each other's",
                        Settings.CPU_THREADS.key(),
                        set.getAsInt(),
                        master,
                        all);
            }
            return Cores.exactly(set.getAsInt());
        }
        return ConfFindings.isLocal(master) ? Cores.shared(all) : Cores.exactly(ConfFindings.cpusOfATask(conf));
    }

    /**
     * Bytes of heap that there are for one of {@code world} ranks: of this JVM's under a local master, else of an
     * executor's, where it is known how many ranks share it.
     */
    public static long heapOfARank(SparkContext spark, TaskRequest tasks, int world) {
        if (spark.isLocal()) {
            return Runtime.getRuntime().maxMemory() / world;
        }
        SparkConf conf = tasks.conf();
        Matcher cluster = LOCAL_CLUSTER.matcher(spark.master());
        int slots;
        if (cluster.matches()) {
            slots = Integer.parseInt(cluster.group(2)) / ConfFindings.cpusOfATask(conf);
        } else if (conf.contains("spark.executor.cores")) {
            slots = conf.getInt("spark.executor.cores", 1) / ConfFindings.cpusOfATask(conf);
        } else { // standalone gives an executor all cores of its worker, YARN and Kubernetes give it one
            int executors = Math.max(1, executors(spark));
            slots = (tasks.slots(spark) + executors - 1) / executors;
        }
        int ranks = Math.max(1, Math.min(world, slots));
        return (conf.getSizeAsMb("spark.executor.memory", "1g") << 20) / ranks; // MiB where no unit is given
    }

    /** The n of {@code local[n]}; every core of the machine where it is a star. */
    private static int localThreads(String master) {
        Matcher local = LOCAL.matcher(master);
        if (!local.matches()) {
            return Integer.MAX_VALUE;
        }
        return local.group(1) == null ? 1 : Math.max(1, Integer.parseInt(local.group(1)));
    }

    private static int awaitSlots(SparkContext spark, TaskRequest tasks, int wanted) {
        Duration wait = Settings.SLOTS_WAIT.in(tasks.conf());
        long deadline = System.nanoTime() + wait.toNanos();
        int slots = tasks.slots(spark);
        if (slots >= wanted || !mayGrow(spark, tasks.conf(), wanted)) {
            return slots;
        }
        long sayAt = System.nanoTime() + GRACE_NANOS;
        while (slots < wanted && System.nanoTime() - deadline < 0) {
            if (System.nanoTime() - sayAt >= 0) {
                sayAt += SAY_NANOS;
                long left = TimeUnit.NANOSECONDS.toSeconds(deadline - System.nanoTime()) + 1;
                LOG.warn("waiting for executors: {} of {} slots are there, {} s left", slots, wanted, left);
            }
            try {
                Thread.sleep(POLL_MILLIS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw AttemptFailure.cancelled(e);
            }
            if (spark.isStopped()) {
                throw AttemptFailure.cancelled(new IllegalStateException("the application was stopped"));
            }
            slots = tasks.slots(spark);
        }
        return slots;
    }

    /** The slots that the configuration asks the cluster for; 0 where it does not say. */
    private static int expectedSlots(SparkContext spark, SparkConf conf) {
        Matcher cluster = LOCAL_CLUSTER.matcher(spark.master());
        if (cluster.matches()) {
            return Integer.parseInt(cluster.group(1))
                    * (Integer.parseInt(cluster.group(2)) / ConfFindings.cpusOfATask(conf));
        }
        int perExecutor = conf.getInt("spark.executor.cores", 0) / ConfFindings.cpusOfATask(conf);
        int executors = conf.getInt("spark.executor.instances", 0);
        return executors > 0 && perExecutor > 0
                ? executors * perExecutor
                : conf.getInt("spark.cores.max", 0) / ConfFindings.cpusOfATask(conf);
    }

    /** Whether executors that have not registered yet could bring {@code wanted} slots. */
    private static boolean mayGrow(SparkContext spark, SparkConf conf, int wanted) {
        if (spark.isLocal()) {
            return false;
        }
        Matcher cluster = LOCAL_CLUSTER.matcher(spark.master());
        if (cluster.matches()) {
            long cores = Long.parseLong(cluster.group(1)) * Long.parseLong(cluster.group(2));
            return cores / ConfFindings.cpusOfATask(conf) >= wanted;
        }
        return true;
    }

    /** Tasks that can run at once, all executors together, if they ask for what the application's configuration says. */
    public static int slots(SparkContext spark) {
        return TaskRequest.of(spark, Optional.empty()).slots(spark);
    }
}
