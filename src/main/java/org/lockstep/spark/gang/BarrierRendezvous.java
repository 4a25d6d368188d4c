package org.lockstep.spark.gang;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Supplier;
import org.apache.spark.BarrierTaskContext;
import org.apache.spark.TaskContext;
import org.apache.spark.TaskKilledException;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.rendezvous.Rendezvous;
import org.lockstep.rendezvous.RendezvousException;
import org.lockstep.rendezvous.Venue;
import org.lockstep.spark.settings.Settings;

/**
 * Meets through {@link BarrierTaskContext#allGather}, once, under our own deadline.
 *
 * <p>Spark's own is 365 days, and its 4.x line loses it when two barrier stages overlap. The call therefore waits on a
 * thread of its own, while the task's thread watches the clock and the task's kill flag.
 */
final class BarrierRendezvous implements Rendezvous {
    private static final long POLL_MILLIS = 100;

    private final BarrierTaskContext context;
    private final Venue venue;
    private final Duration timeout;
    private final AtomicBoolean met = new AtomicBoolean();
    private volatile @Nullable Call call; // of Spark's allGather

    private BarrierRendezvous(BarrierTaskContext context, Venue venue, Duration timeout) {
        this.context = context;
        this.venue = venue;
        this.timeout = timeout;
    }

    /**
     * The door of the task that runs on this thread.
     *
     * @param venue asked for only in a barrier stage
     * @throws LockstepException NOT_IN_BARRIER_STAGE
     */
    static BarrierRendezvous ofCurrentTask(Supplier<Venue> venue, Duration timeout) {
        TaskContext context = TaskContext.get();
        if (context instanceof BarrierTaskContext barrier) {
            return new BarrierRendezvous(barrier, venue.get(), timeout);
        }
        String where = context == null ? "no Spark task runs on this thread" : "this task's stage is no barrier stage";
        throw LockstepException.report(ErrorCode.NOT_IN_BARRIER_STAGE, "ranks meet in a barrier stage, but " + where)
                .attempt("BarrierStage.over(rdd).with(sizes).mapRanks(...) makes one")
                .exception();
    }

    /** Whether the task has come to the meeting. From any thread. */
    boolean hasCome() {
        return met.get();
    }

    /** Of the task whose door this is. */
    BarrierTaskContext context() {
        return context;
    }

    @Override
    public int index() {
        return context.partitionId();
    }

    @Override
    public int size() {
        return context.getTaskInfos().length;
    }

    @Override
    public Venue venue() {
        return venue;
    }

    @Override
    public List<String> allGather(String record) {
        if (!met.compareAndSet(false, true)) {
            throw new IllegalStateException("an attempt meets once: each allGather of Spark's costs a second");
        }
        CompletableFuture<String[]> answer = new CompletableFuture<>();
        Thread thread = new Thread(() -> gather(record, answer), "lockstep-meeting-" + index());
        thread.setDaemon(true);
        call = new Call(thread, answer);
        thread.start();
        return Collections.unmodifiableList(Arrays.asList(await(answer))); // a null among them is told by the roster
    }

    private record Call(Thread thread, CompletableFuture<String[]> answer) {}

    /**
     * The task is over. Who still waits in Spark's allGather waits for its limit of a year, and takes an interrupt for a reason
     * to look whether the task was killed: so it is told that it was. Idempotent.
     */
    void close() {
        Call made = call;
        if (made != null && !made.answer().isDone()) { // else a task that ended well would be one that was killed
            context.markInterrupted("the task of partition " + index() + " is over");
            made.thread().interrupt();
        }
    }

    private void gather(String record, CompletableFuture<String[]> answer) {
        try {
            // Spark before 3.4 handed all callers the same array: copy before anybody else can write to it.
            answer.complete(context.allGather(record).clone());
        } catch (Throwable e) {
            answer.completeExceptionally(e);
        }
    }

    private String[] await(CompletableFuture<String[]> answer) {
        long deadline = System.nanoTime() + timeout.toNanos();
        while (true) {
            try {
                return answer.get(POLL_MILLIS, TimeUnit.MILLISECONDS);
            } catch (TimeoutException e) {
                if (context.isInterrupted()) {
                    throw new TaskKilledException("killed in the meeting of the ranks");
                }
                if (System.nanoTime() - deadline > 0) {
                    throw new RendezvousException(LockstepException.report(
                                    ErrorCode.RENDEZVOUS_TIMEOUT,
                                    "not all of the " + size() + " tasks of stage " + context.stageId() + "."
                                            + context.stageAttemptNumber() + " met within " + timeout.toSeconds()
                                            + " s")
                            .waiting("partition " + index() + " on " + place())
                            .attempt("look for the task of this stage that is not waiting; raise "
                                    + Settings.MEETING_TIMEOUT.key() + " if tasks are legitimately slow to come"));
                }
            } catch (ExecutionException e) {
                Throwable cause = e.getCause() == null ? e : e.getCause();
                throw new RendezvousException(LockstepException.report(
                                ErrorCode.RENDEZVOUS_FAILED, "Spark's allGather failed: " + cause.getMessage())
                        .waiting("partition " + index() + " on " + place())
                        .cause(cause));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new TaskKilledException("interrupted in the meeting of the ranks");
            }
        }
    }

    /**
     * The address at which Spark reaches this task's executor.
     *
     * @throws RendezvousException if this host cannot resolve the name that Spark knows it by
     */
    InetAddress address() {
        String place = place();
        String host = place.substring(0, place.lastIndexOf(':'));
        try {
            return InetAddress.getByName(host);
        } catch (UnknownHostException e) {
            throw new RendezvousException(LockstepException.report(
                            ErrorCode.RENDEZVOUS_FAILED,
                            "Spark's name of this host, " + host + ", does not resolve here")
                    .culprit("partition " + index() + " on " + place)
                    .attempt("set SPARK_LOCAL_IP or spark.driver.host to an address of that host")
                    .cause(e));
        }
    }

    /** Where Spark says this task's executor is, as {@code host:port}; the port is Spark's own. */
    private String place() {
        return context.getTaskInfos()[index()].address();
    }
}
