package org.lockstep.spark;

import java.time.Duration;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.function.IntFunction;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkContext;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.rdd.RDD;
import org.lockstep.LockstepException;
import org.lockstep.collective.WorldSpec;
import org.lockstep.spark.device.BackendFactory;
import org.lockstep.spark.device.CpuFactory;
import org.lockstep.spark.failure.AttemptFailure;
import org.lockstep.spark.failure.GangWatch;
import org.lockstep.spark.gang.RankFunction;
import org.lockstep.spark.gang.RankTask;
import org.lockstep.spark.gang.Residence;
import org.lockstep.spark.gang.Residents;
import org.lockstep.spark.preflight.ClusterPreflight;
import org.lockstep.spark.preflight.StageChain;
import org.lockstep.spark.preflight.TaskRequest;
import org.lockstep.spark.settings.DeviceChoice;
import org.lockstep.spark.settings.Settings;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.RankOrder;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;

/**
 * An RDD whose partitions are worked on by ranks: one barrier task to a rank, their groups connected.
 *
 * <pre>{@code
 * JavaRDD<String> places = BarrierStage.over(rows)
 *     .with(ParallelSizes.tensor(2).withPipeline(2))
 *     .mapRanks((rank, mine) -> {
 *       Buffer x = Buffer.ofFloats(rank.state().rank());
 *       rank.communicators().tensor().allReduce(x, ReduceOp.SUM);
 *       return List.of(rank.state() + " " + x).iterator();
 *     });
 * }</pre>
 *
 * <p>Immutable; each {@code with} returns another. Lazy, plain Spark: the stage runs when an action does, and Spark does
 * not retry it when it fails as the last stage of a job. The rank of a task follows from where it runs, not from its
 * partition.
 */
public final class BarrierStage<T> {
    private static final Logger LOG = LoggerFactory.getLogger(BarrierStage.class);

    private final JavaRDD<T> rows;
    private final WorldSpec spec;
    private final OptionalInt ranks;
    private final IntFunction<BackendFactory> backend; // of the world size
    private final Optional<Residence.Stay> stay;
    private final Optional<GangWatch> watch;

    private BarrierStage(
            JavaRDD<T> rows,
            WorldSpec spec,
            OptionalInt ranks,
            IntFunction<BackendFactory> backend,
            Optional<Residence.Stay> stay,
            Optional<GangWatch> watch) {
        this.rows = rows;
        this.spec = spec;
        this.ranks = ranks;
        this.backend = backend;
        this.stay = stay;
        this.watch = watch;
    }

    /**
     * A stage of data-parallel ranks only, on CPUs, with the deadlines of the configuration. Its tasks ask for what the rows'
     * resource profile says ({@code RDD.withResources}), if they have one.
     *
     * @throws LockstepException for a configuration, or a profile, that cannot be
     */
    public static <T> BarrierStage<T> over(JavaRDD<T> rows) {
        SparkConf conf = tasks(rows).conf();
        Settings.check(conf);
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(1))
                .withMeetingTimeout(Settings.MEETING_TIMEOUT.in(conf))
                .withOperations(Settings.operations(conf))
                .withStrictPlacement(Settings.STRICT_PLACEMENT.in(conf))
                .withTransports(Settings.TRANSPORTS.in(conf))
                .withEncryption(Settings.encrypts(conf));
        CpuFactory cpu = CpuFactory.of(conf);
        return new BarrierStage<>(rows, spec, OptionalInt.empty(), world -> cpu, Optional.empty(), Optional.empty());
    }

    private static TaskRequest tasks(JavaRDD<?> rows) {
        return TaskRequest.of(rows.context(), StageChain.profile(rows.rdd()));
    }

    /**
     * The sizes of the axes. Where one is inferred it fills {@link #ranks}, or else all slots of the cluster.
     */
    public BarrierStage<T> with(ParallelSizes sizes) {
        return with(spec.withSizes(sizes));
    }

    /** The order of the axes; the innermost are placed closest together. */
    public BarrierStage<T> with(RankOrder order) {
        return with(spec.withOrder(order));
    }

    private BarrierStage<T> with(WorldSpec changed) {
        return new BarrierStage<>(rows, changed, ranks, backend, stay, watch);
    }

    /** The world size, where the sizes leave it open. */
    public BarrierStage<T> ranks(int worldSize) {
        return new BarrierStage<>(rows, spec, OptionalInt.of(worldSize), backend, stay, watch);
    }

    /** The kinds of groups to connect; all others stay plans. By default those of inference. */
    public BarrierStage<T> connecting(GroupKind first, GroupKind... more) {
        Set<GroupKind> kinds = EnumSet.of(first, more);
        return with(spec.withKinds(kinds));
    }

    /** Values that must be equal on all ranks, compared before anything is connected. */
    public BarrierStage<T> agreeingOn(Map<String, String> settings) {
        return with(spec.withSettings(settings));
    }

    /** Classes that may travel as objects besides strings, numbers, their arrays and lists. */
    public BarrierStage<T> registering(Class<?>... classes) {
        return with(spec.withObjects(classes));
    }

    /** Refuses tensor groups that span hosts. */
    public BarrierStage<T> strictPlacement() {
        return with(spec.withStrictPlacement(true));
    }

    /** Another device than the CPU. */
    public BarrierStage<T> on(BackendFactory factory) {
        return new BarrierStage<>(rows, spec, ranks, world -> factory, stay, watch);
    }

    /**
     * The kind of device, of which each rank has what the configuration gives it: as {@link Llm#device} has it. What cannot be
     * is told by {@link #mapRanks}: NO_DEVICE, OLD_DRIVER, NO_LIBRARY.
     */
    public BarrierStage<T> on(DeviceChoice device) {
        LlmDevice asked = LlmDevice.NONE.withChoice(device);
        return new BarrierStage<>(
                rows,
                spec,
                ranks,
                world -> asked.resolve(rows.context(), world).factory(rows.context(), tasks(rows)),
                stay,
                watch);
    }

    /** Ranks that wait for the next stage of the same residence when their task is done. */
    BarrierStage<T> staying(Residence.Stay where) {
        return new BarrierStage<>(rows, spec, ranks, backend, Optional.of(where), watch);
    }

    /** Ranks whose failures one hears of on the driver. */
    public BarrierStage<T> watchedBy(GangWatch listener) {
        return new BarrierStage<>(rows, spec, ranks, backend, stay, Optional.of(listener));
    }

    /**
     * Runs {@code function} once on each rank, with one partition of the rows.
     *
     * <p>The input is repartitioned, and that is logged, where it has not one partition to a rank or hangs together with
     * other partitions in a way that Spark refuses for barrier stages.
     *
     * <p>The action that runs them throws what Spark makes of a failure, the text of one task; the log gets the report of all,
     * which {@link #collectRanks} throws.
     *
     * @throws LockstepException at once, before anything is launched, for what cannot run here
     */
    public <U> JavaRDD<U> mapRanks(RankFunction<T, U> function) {
        JavaSparkContext spark = JavaSparkContext.fromSparkContext(rows.context());
        TaskRequest tasks = tasks(rows);
        int world = ClusterPreflight.check(spark.sc(), tasks, spec.sizes(), ranks);
        ClusterPreflight.warn(tasks.conf());
        JavaRDD<T> input = rows;
        if (!StageChain.allows(rows.rdd(), world)) {
            LOG.warn("repartitioning {} partitions to {}, one to a rank", rows.getNumPartitions(), world);
            input = rows.repartition(world);
            tasks.profile().ifPresent(input::withResources);
        }
        Broadcast<Residents> residents =
                stay.map(Residence.Stay::residents).orElseGet(() -> spark.broadcast(new Residents()));
        GangWatch follower = watch.orElseGet(() -> GangWatch.inLog(spark.sc()));
        Duration idle = stay.map(Residence.Stay::idle).orElse(Duration.ZERO);
        WorldSpec resolved = spec.withSizes(spec.sizes().resolve(world)).newAttempt();
        ClassTag<U> anything = anyTag();
        RankTask<T, U> task =
                new RankTask<>(function, resolved, backend.apply(world), residents, idle, follower.failures());
        RDD<U> made = input.rdd().barrier().mapPartitions(task, false, anything);
        follower.follow(made);
        return made.toJavaRDD();
    }

    /**
     * As {@link #mapRanks}, but now: what the ranks returned, in the order of the partitions.
     *
     * @throws LockstepException the first failure by time, with who is to blame, the verdict of all ranks' last
     *     operations and the stack; other causes are suppressed
     */
    public <U> List<U> collectRanks(RankFunction<T, U> function) {
        SparkContext spark = rows.context();
        try (GangWatch follower = GangWatch.begin(spark);
                JobLabel label = JobLabel.begin(spark, "ranks")) {
            try {
                JavaRDD<U> made = watchedBy(follower).mapRanks(function);
                int world = made.getNumPartitions();
                label.describe(world + " ranks, " + spec.sizes().resolve(world));
                return made.collect();
            } catch (Exception e) { // Spark's own are checked, and undeclared
                boolean interrupted = Thread.interrupted() || e instanceof InterruptedException;
                follower.cancel();
                LockstepException told = AttemptFailure.isCancelled(spark, e)
                        ? AttemptFailure.cancelled(e)
                        : follower.report(e).exception();
                if (interrupted) {
                    Thread.currentThread().interrupt();
                }
                throw told;
            }
        }
    }

    @SuppressWarnings("unchecked") // erased: what the JavaRDD methods of Spark do themselves
    static <U> ClassTag<U> anyTag() {
        return (ClassTag<U>) ClassTag$.MODULE$.apply(Object.class);
    }
}
