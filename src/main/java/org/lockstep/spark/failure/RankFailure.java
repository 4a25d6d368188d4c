package org.lockstep.spark.failure;

import java.io.Serializable;
import java.nio.channels.ClosedByInterruptException;
import java.util.ArrayDeque;
import java.util.Collections;
import java.util.Deque;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.spark.BarrierTaskContext;
import org.apache.spark.SparkContext;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskKilledException;
import org.apache.spark.util.CollectionAccumulator;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.FirstCause;
import org.lockstep.collective.Identity;
import org.lockstep.collective.Roster;
import org.lockstep.collective.World;
import org.lockstep.flight.FlightRecord;
import scala.Option;

/**
 * How one rank's task failed, as it travels to the driver: in an accumulator, since Spark hands over what a failed task counted
 * but shows the exception of one of them only. Immutable.
 *
 * @param rank -1 where the task had none yet
 * @param host of its executor
 * @param executor by Spark's name
 * @param task of Spark's, in words
 * @param partition that it works on
 * @param gpu in words, where it has one
 * @param at when it failed, in milliseconds since 1970 by its own clock
 * @param came whether it had come to the meeting of the ranks
 * @param own whether it failed by itself, and not because it was told of another rank's failure or to stop
 * @param code of what was thrown; INTERNAL or OUT_OF_MEMORY for what is not of our kinds
 * @param summary of what was thrown
 * @param advice what to try, where that is known
 * @param cause what its world has died of, where it had one that is dead
 * @param thrown with its stack
 * @param partitions of all ranks of its world, by rank; empty where it had none, or neither failed by itself nor is one of the
 *     first {@value #TELLERS}: enough for a driver that hears of a dead executor from others only
 * @param record of its last operations, where it had a rank
 */
public record RankFailure(
        int rank,
        String host,
        String executor,
        String task,
        int partition,
        String gpu,
        long at,
        boolean came,
        boolean own,
        ErrorCode code,
        String summary,
        String advice,
        @Nullable FirstCause cause,
        Thrown thrown,
        List<Integer> partitions,
        @Nullable FlightRecord record)
        implements Serializable {
    private static final int MOST_CAUSES = 32; // some run in a circle

    private static final int TELLERS = 4;

    public RankFailure {
        partitions = List.copyOf(partitions);
    }

    /** Where the tasks of one attempt leave theirs. */
    public static CollectionAccumulator<RankFailure> accumulator(SparkContext spark) {
        CollectionAccumulator<RankFailure> failures = new CollectionAccumulator<>();
        failures.register(spark, Option.empty(), true); // also what failed tasks have counted
        return failures;
    }

    /**
     * Of the task that runs on this thread.
     *
     * @param came whether it has come to the meeting
     * @param world of its rank, where it had one
     */
    public static RankFailure of(BarrierTaskContext context, boolean came, @Nullable World world, Throwable failure) {
        return of(context, came, world, failure, true);
    }

    /**
     * The same of a rank that failed before, or had done its work, and could not give back what it held: only where its device is lost to
     * its process, which is then of no use to another attempt. What the run failed of it is not.
     */
    public static Optional<RankFailure> ofTheEnd(
            BarrierTaskContext context, boolean came, @Nullable World world, Throwable failure) {
        return lost(failure).map(found -> of(context, came, world, found, false));
    }

    private static RankFailure of(
            BarrierTaskContext context, boolean came, @Nullable World world, Throwable failure, boolean mayBeOwn) {
        FirstCause cause =
                world == null ? null : world.communicators().firstCause().orElse(null);
        int rank = world == null ? -1 : world.state().rank();
        boolean own = mayBeOwn && isOwn(rank, cause, failure);
        Optional<LockstepException> known = known(failure);
        ErrorCode otherwise = GangFailure.codeOf(failure.toString());
        String address = context.getTaskInfos()[context.partitionId()].address();
        String host = world == null
                ? address.substring(0, address.lastIndexOf(':'))
                : world.roster().host(rank);
        Identity.Gpu gpu =
                world == null ? null : world.roster().hello(rank).identity().gpu();
        String task = String.format(
                "%d (stage %d.%d, partition %d)",
                context.taskAttemptId(), context.stageId(), context.stageAttemptNumber(), context.partitionId());
        FlightRecord record = world == null
                ? null
                : FlightRecord.of(
                        world,
                        "host " + host + ", executor " + SparkEnv.get().executorId() + ", task " + task,
                        own && !isTold(failure) ? FlightRecord.End.FAILED : FlightRecord.End.RELEASED);
        return new RankFailure(
                rank,
                host,
                SparkEnv.get().executorId(),
                task,
                context.partitionId(),
                gpu == null ? "" : gpu.toString(),
                System.currentTimeMillis(),
                came,
                own,
                known.map(LockstepException::code).orElse(otherwise),
                known.map(LockstepException::summary)
                        .orElse((rank < 0 ? "a rank" : "rank " + rank) + " failed: " + failure),
                known.map(LockstepException::advice).orElse(GangFailure.adviceOf(otherwise)),
                cause,
                Thrown.of(failure),
                world != null && (own || rank < TELLERS) ? partitions(world.roster()) : List.of(),
                record);
    }

    private static List<Integer> partitions(Roster roster) {
        return IntStream.range(0, roster.size()).mapToObj(roster::partition).toList();
    }

    private static boolean isOwn(int rank, @Nullable FirstCause cause, Throwable failure) {
        return !isTold(failure) || (cause != null && cause.finder() == rank && !isStopped(failure));
    }

    /** Whether it is what a communicator or Spark says, or was made of that. */
    private static boolean isTold(Throwable failure) {
        return isStopped(failure) || causes(failure).anyMatch(CommunicatorException.class::isInstance);
    }

    /** Whether it is how code ends that was told to stop. */
    private static boolean isStopped(Throwable failure) {
        return causes(failure)
                .anyMatch(each -> each instanceof TaskKilledException
                        || each instanceof InterruptedException
                        || each instanceof ClosedByInterruptException);
    }

    private static Stream<Throwable> causes(Throwable failure) {
        return Stream.iterate(failure, Objects::nonNull, Throwable::getCause).limit(MOST_CAUSES);
    }

    /** What says so among all that went wrong together. */
    private static Optional<LockstepException> lost(Throwable failure) {
        Set<Throwable> seen = Collections.newSetFromMap(new IdentityHashMap<>());
        Deque<Throwable> next = new ArrayDeque<>(List.of(failure));
        while (!next.isEmpty()) {
            Throwable each = next.remove();
            if (each instanceof LockstepException known && known.code() == ErrorCode.DEVICE_LOST) {
                return Optional.of(known);
            }
            if (seen.add(each)) {
                Optional.ofNullable(each.getCause()).ifPresent(next::add);
                next.addAll(List.of(each.getSuppressed()));
            }
        }
        return Optional.empty();
    }

    private static Optional<LockstepException> known(Throwable failure) {
        return causes(failure)
                .filter(LockstepException.class::isInstance)
                .map(LockstepException.class::cast)
                .findFirst();
    }

    /** Whether it is about the rank itself, not about another that it lost or waited for. */
    boolean blamesItself() {
        return cause == null || cause.culprit() == rank || cause.finder() != rank;
    }

    /** Whether a device is lost to the executor's process. */
    boolean isOfTheProcess() {
        return code == ErrorCode.DEVICE_LOST;
    }

    /** As reports show it. */
    public String place() {
        return (rank < 0 ? "" : "rank " + rank + "  ") + "host " + host + "  executor " + executor + "  task " + task
                + (gpu.isEmpty() ? "" : "  " + gpu);
    }

    /** Short: it stands in Spark's event log. */
    @Override
    public String toString() {
        return (own ? "own failure of " : "end of ") + place();
    }
}
