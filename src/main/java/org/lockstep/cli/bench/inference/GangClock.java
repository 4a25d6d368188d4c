package org.lockstep.cli.bench.inference;

import java.util.Arrays;
import org.lockstep.cli.bench.Settling;
import org.lockstep.cli.bench.inference.Speed.MemoryUse;
import org.lockstep.cli.bench.inference.Speed.Shares;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.Communicators;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/**
 * Times what all ranks do together. Every rank has one and calls the same; what they decide, they decide by times that all of
 * them have. Confined to the rank's thread.
 */
final class GangClock {
    private static final int SETTLED_RUNS = 3;
    private static final long SETTLE_NANOS_AT_MOST = 10_000_000_000L;

    private final Communicators communicators;
    private final Communicator world;
    private final HostBuffer number = HostBuffer.allocate(DataType.F64, 1);

    /**
     * The times of a work's repetitions.
     *
     * @param median nanoseconds of the slowest rank
     * @param best likewise, of the fastest repetition
     * @param shares of all repetitions together
     */
    record Timing(double median, double best, Shares shares) {}

    GangClock(Communicators communicators) {
        this.communicators = communicators;
        this.world = communicators.world();
    }

    /** Repeats {@code work} until it has settled: once at least, and not for much longer than ten seconds. */
    void warmUp(Runnable work) {
        Settling settling = new Settling(SETTLED_RUNS, SETTLE_NANOS_AT_MOST);
        while (!settling.isSettled()) {
            double compiled = Settling.compilation();
            long start = System.nanoTime();
            work.run();
            double took = over(world, (double) (System.nanoTime() - start), ReduceOp.MAX);
            settling.ran(took, over(world, Settling.compilation() - compiled, ReduceOp.MAX));
        }
    }

    /** Times each repetition from a moment at which all ranks are there. */
    Timing measure(Runnable work, int repetitions) {
        double[] times = new double[repetitions];
        double wall = 0;
        double tensor = 0;
        double operations = 0;
        for (int i = 0; i < repetitions; i++) {
            world.barrier();
            long tensorBefore = communicators.tensor().traffic().nanos();
            long before = communicators.traffic().nanos();
            long start = System.nanoTime();
            work.run();
            double mine = (double) (System.nanoTime() - start);
            operations += communicators.traffic().nanos() - before;
            tensor += communicators.tensor().traffic().nanos() - tensorBefore;
            wall += mine;
            times[i] = over(world, mine, ReduceOp.MAX);
        }
        Arrays.sort(times);
        // The median of the speeds, as the peers take it: of an even number the mean of the two in the middle.
        double median = 2 / (1 / times[(repetitions - 1) / 2] + 1 / times[repetitions / 2]);
        return new Timing(median, times[0], shares(wall, operations, tensor));
    }

    private Shares shares(double wall, double operations, double tensor) {
        double all = over(world, wall, ReduceOp.SUM);
        // Operations of few bytes are estimated by a sample, whose mean may have fallen meanwhile.
        double inside = Math.max(0, Math.min(operations, wall));
        double least = over(communicators.tensor(), tensor, ReduceOp.MIN);
        double collectives = Math.max(0, Math.min(least, inside));
        double busy = over(world, wall - inside, ReduceOp.SUM) / all;
        double adding = over(world, collectives, ReduceOp.SUM) / all;
        return new Shares(busy, adding, Math.max(0, 1 - busy - adding));
    }

    /** Of each the largest over all ranks. */
    MemoryUse largest(MemoryUse mine) {
        HostBuffer all = Buffer.ofLongs(mine.weights(), mine.cache(), mine.activations());
        world.allReduce(all, ReduceOp.MAX);
        return new MemoryUse(all.longs()[0], all.longs()[1], all.longs()[2]);
    }

    private double over(Communicator group, double mine, ReduceOp op) {
        number.doubles()[0] = mine;
        group.allReduce(number, op);
        return number.doubles()[0];
    }
}
