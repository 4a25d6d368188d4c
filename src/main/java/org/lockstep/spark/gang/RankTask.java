package org.lockstep.spark.gang;

import java.io.Serial;
import java.io.Serializable;
import java.time.Duration;
import java.util.Iterator;
import java.util.function.Consumer;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.util.CollectionAccumulator;
import org.apache.spark.util.TaskCompletionListener;
import org.apache.spark.util.TaskFailureListener;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Identity;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.spark.device.BackendFactory;
import org.lockstep.spark.failure.RankFailure;
import org.lockstep.spark.settings.Settings;
import org.lockstep.topology.GroupKind;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.MDC;
import scala.runtime.AbstractFunction1;

/**
 * The body of one barrier task: join the world, be a rank, and in the end leave it, stay for the next task, or abort it for
 * all.
 *
 * <p>The iterator is consumed after this returns, so the rank's time ends with the task, not with the call.
 */
public final class RankTask<T, U> extends AbstractFunction1<scala.collection.Iterator<T>, scala.collection.Iterator<U>>
        implements Serializable {
    @Serial
    private static final long serialVersionUID = 1;

    private static final Logger LOG = LoggerFactory.getLogger(RankTask.class);

    private final RankFunction<T, U> function;
    private final WorldSpec spec;
    private final BackendFactory backends;
    private final Broadcast<Residents> residents;
    private final Duration idle;
    private final CollectionAccumulator<RankFailure> failures;

    /**
     * A task whose rank may wait among {@code residents} for the next one for so long; zero if it shall not. How it fails, if
     * it does, is left in {@code failures}.
     */
    public RankTask(
            RankFunction<T, U> function,
            WorldSpec spec,
            BackendFactory backends,
            Broadcast<Residents> residents,
            Duration idle,
            CollectionAccumulator<RankFailure> failures) {
        this.function = function;
        this.spec = spec;
        this.backends = backends;
        this.residents = residents;
        this.idle = idle;
        this.failures = failures;
    }

    @Override
    public scala.collection.Iterator<U> apply(scala.collection.Iterator<T> rows) {
        long start = System.nanoTime();
        BarrierRendezvous rendezvous =
                BarrierRendezvous.ofCurrentTask(() -> residents.value().venue(), spec.meetingTimeout());
        TaskContext context = TaskContext.get();
        // A stage attempt that Spark makes again is another attempt of ours: its stragglers must not be heard.
        WorldSpec attempt = spec.ofStage(context.stageId(), context.stageAttemptNumber());
        Tenancy tenancy = new Tenancy(residents.value(), idle);
        onCompletion(context, () -> end(tenancy, rendezvous));
        AbortWatchdog.Watch watch = residents.value().watchdog().watch(context, tenancy);
        onCompletion(context, watch::close);
        onCompletion(context, rendezvous::close);
        onFailure(context, error -> {
            try {
                tenancy.abort(error);
            } finally {
                if (SparkEnv.get() != null) { // of a stopped application nobody hears
                    failures.add(RankFailure.of(
                            rendezvous.context(), rendezvous.hasCome(), tenancy.world(), tenancy.reason(error)));
                }
            }
        });
        LiveRank live =
                tenancy.join(rendezvous, () -> backends.create(rendezvous.address()), attempt, identity(context));
        Duration setup = Duration.ofNanos(System.nanoTime() - start);
        tag(context, live.world(), attempt);
        if (live.world().state().rank() == 0) {
            report(live.world());
        }
        try {
            Iterator<U> results = function.apply(new Rank(live, setup), ScalaIterators.toJava(rows));
            return ScalaIterators.toScala(results, tenancy::fail);
        } catch (Throwable e) {
            tenancy.fail(e);
            throw RankTask.<RuntimeException>rethrow(e);
        }
    }

    /**
     * Gives back what the rank holds. A device that is lost to this process is told: that comes after the failure itself, or after all
     * was done.
     */
    private void end(Tenancy tenancy, BarrierRendezvous rendezvous) {
        World world = tenancy.world();
        try {
            tenancy.end(left -> tell(rendezvous, world, left));
        } catch (RuntimeException | Error left) {
            tell(rendezvous, world, left);
            throw left;
        }
    }

    private void tell(BarrierRendezvous rendezvous, @Nullable World world, Throwable left) {
        try {
            if (SparkEnv.get() != null) {
                RankFailure.ofTheEnd(rendezvous.context(), rendezvous.hasCome(), world, left)
                        .ifPresent(failures::add);
            }
        } catch (RuntimeException untold) { // of a Spark that ends
            left.addSuppressed(untold);
        }
    }

    /** Puts the rank into the context of this thread's lines of the log, until the task's end. */
    private static void tag(TaskContext context, World world, WorldSpec attempt) {
        MDC.put("rank", "rank " + world.state().rank() + " of " + world.roster().size());
        MDC.put("attempt", attempt.attempt().toString().substring(0, 8));
        onCompletion(context, () -> {
            MDC.remove("rank");
            MDC.remove("attempt");
        });
    }

    private static Identity identity(TaskContext context) {
        return Identity.onThisHost(SparkEnv.get().conf().getAppId(), context.stageId(), context.stageAttemptNumber());
    }

    /** Said once, by rank 0. */
    private static void report(World world) {
        if (world.isResumed()) {
            LOG.info(
                    "{} ranks met in {} ms and go on as they were",
                    world.roster().size(),
                    world.meetingTime().toMillis());
            return;
        }
        LOG.info(
                "{} ranks met in {} ms and connected in {} ms:\n{}",
                world.roster().size(),
                world.meetingTime().toMillis(),
                world.connectTime().toMillis(),
                world.roster().placement());
        world.roster()
                .spanning(GroupKind.TENSOR)
                .forEach(group -> LOG.warn(
                        "{}: every layer waits for the network between them; {} refuses such a placement",
                        group,
                        Settings.STRICT_PLACEMENT.key()));
    }

    private static void onCompletion(TaskContext context, Runnable action) {
        context.addTaskCompletionListener((TaskCompletionListener) finished -> action.run());
    }

    private static void onFailure(TaskContext context, Consumer<Throwable> action) {
        context.addTaskFailureListener((TaskFailureListener) (failed, error) -> action.accept(error));
    }

    /** Throws what a Scala caller may see unchecked, as it is: its class decides what Spark makes of it. */
    @SuppressWarnings({"unchecked", "TypeParameterUnusedInFormals"})
    private static <E extends Throwable> RuntimeException rethrow(Throwable error) throws E {
        throw (E) error;
    }
}
