package org.lockstep.cli;

import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.OptionalInt;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.core.config.Configurator;
import org.apache.spark.SparkConf;
import org.apache.spark.sql.SparkSession;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.spark.preflight.ClusterPreflight;
import org.lockstep.spark.preflight.ConfFindings;
import org.lockstep.topology.ParallelSizes;

/**
 * The Spark session of a command: a caller's, spark-submit's or our own, and what Ctrl-C does to it.
 *
 * <p>Ctrl-C cancels the ranks, and interrupts the command where it waits for something else; the command then says what is
 * kept. If it does not within some seconds, or at a second Ctrl-C, the JVM ends. A SIGTERM cancels the ranks on the JVM's way
 * out. {@link #close} stops the session unless it was there before.
 */
final class CommandSession implements AutoCloseable {
    private static final String MASTER = "spark.master";
    private static final Duration MOMENT = Duration.ofMillis(500);
    private static final Duration PATIENCE = Duration.ofSeconds(15);

    /** What spark-submit reads before it starts the driver's JVM; here that runs already. */
    private static final List<String> OF_THE_JVM = List.of(
            "spark.driver.memory",
            "spark.driver.extraJavaOptions",
            "spark.driver.extraClassPath",
            "spark.driver.extraLibraryPath");

    private final SparkSession spark;
    private final boolean ours;
    private final String jobGroup = "lockstep-" + UUID.randomUUID();
    private final AtomicBoolean cancelled = new AtomicBoolean();
    private final Thread hook;
    private final Thread command = Thread.currentThread();
    private final CountDownLatch closed = new CountDownLatch(1);
    private final Interrupt interrupt;

    private CommandSession(SparkSession spark, boolean ours, boolean verbose, Screen screen) {
        this.spark = spark;
        this.ours = ours;
        this.hook = new Thread(() -> cancel(verbose, screen), "lockstep-exit");
        this.interrupt = Interrupt.handle(() -> interrupt(verbose, screen));
    }

    /** Whether spark-submit has chosen the cluster. */
    static boolean isSubmitted() {
        return System.getProperty(MASTER) != null;
    }

    /** Ends in the error that says Spark is missing, before anything that needs its libraries fails in its own words. */
    static void requireSpark() {
        Objects.requireNonNull(SparkSession.class);
    }

    /** Turns Spark's log down; only before any class of Spark's has been used, and never under spark-submit. */
    static void quiet() {
        String key = "log4j2.configurationFile";
        if (!isSubmitted() && System.getProperty(key) == null) {
            System.setProperty(key, "classpath:log4j2-lockstep.properties");
        }
    }

    /**
     * The session of this process, or a new one.
     *
     * @throws LockstepException NO_SPARK when Spark does not start
     */
    static CommandSession open(SparkRequest request, Screen screen) {
        SparkSession running = running();
        SparkSession spark = running != null ? running : start(request);
        CommandSession session = new CommandSession(spark, running == null, request.verbose(), screen);
        Runtime.getRuntime().addShutdownHook(session.hook);
        spark.sparkContext().setJobGroup(session.jobGroup, "Lockstep", true);
        return session;
    }

    private static @Nullable SparkSession running() {
        try {
            SparkSession active = SparkSession.active();
            return active.sparkContext().isStopped() ? null : active;
        } catch (Exception e) { // there is none; which exception says so depends on Spark's version
            return null;
        }
    }

    /**
     * Checks what the configuration alone tells, without starting Spark.
     *
     * @throws LockstepException with the line to set
     */
    static void check(SparkRequest request, ParallelSizes sizes, OptionalInt ranks) {
        ClusterPreflight.check(conf(request), sizes, ranks);
    }

    /** Says which options have no effect: those that spark-submit has set otherwise, or that only it could set. */
    static void sayWhatIsLeftAside(SparkRequest request, Screen screen) {
        if (isSubmitted() && (request.master() != null || !request.conf().isEmpty())) {
            screen.err().println("--master and --conf are left aside: spark-submit has set spark.master");
        } else if (!isSubmitted()) {
            OF_THE_JVM.stream()
                    .filter(request.conf()::containsKey)
                    .forEach(key -> screen.err()
                            .println(key + " is left aside: this JVM is the driver and runs already; its options are"
                                    + " LOCKSTEP_JAVA_OPTS, -Xmx8g for its heap"));
        }
    }

    /** The configuration that a session of our own would have. */
    static SparkConf conf(SparkRequest request) {
        SparkConf conf = new SparkConf();
        conf.setIfMissing("spark.executor.heartbeatInterval", "1s"); // carries the progress
        if (!isSubmitted()) {
            request.conf().forEach(conf::set);
            String master = request.master();
            if (master == null) {
                master = conf.contains(MASTER) ? conf.get(MASTER) : local(request.slots(), conf);
            }
            conf.setMaster(master);
            conf.setIfMissing("spark.app.name", request.name());
            conf.setIfMissing("spark.ui.enabled", "false");
            conf.setIfMissing("spark.sql.caseSensitive", "true"); // as JSON's names are
            if (master.startsWith("local")) {
                conf.setIfMissing("spark.driver.host", "127.0.0.1");
                conf.setIfMissing("spark.driver.bindAddress", "127.0.0.1");
            }
            if (!ConfFindings.isLocal(master)) {
                OwnJar.find().ifPresent(jar -> conf.set("spark.jars", OwnJar.with(jar, conf.get("spark.jars", ""))));
            }
        }
        return conf;
    }

    /** A local master of so many slots; what its tasks take is refused elsewhere, by name, if it is no number. */
    private static String local(long slots, SparkConf conf) {
        try {
            return "local[" + slots * ConfFindings.cpusOfATask(conf) + "]";
        } catch (LockstepException unread) {
            return "local[" + slots + "]";
        }
    }

    private static SparkSession start(SparkRequest request) {
        SparkConf conf = conf(request);
        try {
            return SparkSession.builder().config(conf).getOrCreate();
        } catch (Exception e) { // Scala declares none
            String master = conf.get("spark.master");
            throw LockstepException.report(
                            ErrorCode.NO_SPARK,
                            isUnanswered(master, e)
                                    ? "no master answers at " + master
                                    : "Spark does not start on master " + master + ": " + e.getMessage())
                    .attempt("--master " + local(request.slots(), conf) + ", or --verbose for Spark's log")
                    .cause(e)
                    .exception();
        }
    }

    /** Giving up on its master, Spark stops the half-started context, which then misses its own scheduler. */
    private static boolean isUnanswered(String master, Exception why) {
        return master.startsWith("spark://")
                && (why instanceof NullPointerException
                        || String.valueOf(why.getMessage()).contains("asters are unresponsive"));
    }

    SparkSession spark() {
        return spark;
    }

    boolean isCancelled() {
        return cancelled.get();
    }

    /** The first Ctrl-C. */
    private void interrupt(boolean verbose, Screen screen) {
        cancel(verbose, screen);
        try {
            if (!closed.await(MOMENT.toMillis(), TimeUnit.MILLISECONDS)) {
                command.interrupt(); // it may wait for something that is no job
            }
            if (!closed.await(PATIENCE.toMillis(), TimeUnit.MILLISECONDS)) {
                screen.err().println("it did not end within " + PATIENCE.toSeconds() + " s");
                screen.flush();
                Runtime.getRuntime().halt(ErrorCode.CANCELLED.exitCode());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void cancel(boolean verbose, Screen screen) {
        if (!cancelled.compareAndSet(false, true)) {
            return;
        }
        if (!verbose) {
            silence();
        }
        screen.err().println();
        screen.err().println("cancelled");
        screen.flush();
        try {
            spark.sparkContext().cancelJobGroup(jobGroup);
        } catch (IllegalStateException e) {
            screen.flush(); // Spark's own hook was faster
        }
    }

    /** What Spark has to say of the ranks that are stopped is what was asked for. */
    private static void silence() {
        try {
            Configurator.setAllLevels("", Level.OFF);
        } catch (ClassCastException | LinkageError e) {
            return; // a log of another make: it says what it says
        }
    }

    @Override
    public void close() {
        closed.countDown();
        Thread.interrupted(); // what the interrupt was for is over
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException e) {
            cancelled.set(true); // the JVM is on its way out
        }
        if (ours) {
            spark.stop();
        } else if (!spark.sparkContext().isStopped()) {
            spark.sparkContext().clearJobGroup();
        }
        interrupt.close();
    }
}
