package org.lockstep.spark;

import java.io.Serial;
import java.io.Serializable;
import java.time.Duration;
import java.util.Iterator;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.util.TaskCompletionListener;
import org.apache.spark.util.TaskFailureListener;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Backend;
import org.lockstep.collective.Identity;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.Venue;
import org.lockstep.topology.GroupKind;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.runtime.AbstractFunction1;

/**
 * The body of one barrier task: join the world, be a rank, leave it in order, or abort it for all.
 *
 * <p>The iterator is consumed after this returns, so the groups end with the task, not with the call.
 */
final class RankTask<T, U> extends AbstractFunction1<scala.collection.Iterator<T>, scala.collection.Iterator<U>>
        implements Serializable {
    @Serial
    private static final long serialVersionUID = 1;

    private static final Logger LOG = LoggerFactory.getLogger(RankTask.class);

    private final RankFunction<T, U> function;
    private final WorldSpec spec;
    private final BackendFactory backends;
    private final Broadcast<Venue> venue;

    RankTask(RankFunction<T, U> function, WorldSpec spec, BackendFactory backends, Broadcast<Venue> venue) {
        this.function = function;
        this.spec = spec;
        this.backends = backends;
        this.venue = venue;
    }

    @Override
    public scala.collection.Iterator<U> apply(scala.collection.Iterator<T> rows) {
        long start = System.nanoTime();
        BarrierRendezvous rendezvous = BarrierRendezvous.ofCurrentTask(venue.value(), spec.meetingTimeout());
        TaskContext context = TaskContext.get();
        Backend backend = backends.create(rendezvous.address());
        onCompletion(context, backend::close);
        // A stage attempt that Spark makes again is another attempt of ours: its stragglers must not be heard.
        WorldSpec attempt = spec.ofStage(context.stageId(), context.stageAttemptNumber());
        AtomicReference<@Nullable World> joined = new AtomicReference<>();
        Thread task = Thread.currentThread();
        AbortWatchdog watchdog = AbortWatchdog.start(context, cause -> {
            World world = joined.get();
            if (world != null) {
                world.abort(cause);
            } else {
                task.interrupt(); // it waits for peers, of which Spark may have killed some without a word to it
            }
        });
        onCompletion(context, watchdog::close);
        World world = World.join(rendezvous, backend, attempt, identity(context));
        joined.set(world);
        Duration setup = Duration.ofNanos(System.nanoTime() - start);
        onCompletion(context, world::close);
        onFailure(context, world);
        if (world.state().rank() == 0) {
            report(world);
        }
        try {
            Iterator<U> results = function.apply(new Rank(world, backend, setup), ScalaIterators.toJava(rows));
            return ScalaIterators.toScala(results);
        } catch (Throwable e) {
            world.abort(e);
            throw RankTask.<RuntimeException>rethrow(e);
        }
    }

    private static Identity identity(TaskContext context) {
        return Identity.onThisHost(SparkEnv.get().conf().getAppId(), context.stageId(), context.stageAttemptNumber());
    }

    /** Said once, by rank 0. */
    private static void report(World world) {
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

    private static void onFailure(TaskContext context, World world) {
        context.addTaskFailureListener((TaskFailureListener) (failed, error) -> world.abort(error));
    }

    /** Throws what a Scala caller may see unchecked, as it is: its class decides what Spark makes of it. */
    @SuppressWarnings({"unchecked", "TypeParameterUnusedInFormals"})
    private static <E extends Throwable> RuntimeException rethrow(Throwable error) throws E {
        throw (E) error;
    }
}
