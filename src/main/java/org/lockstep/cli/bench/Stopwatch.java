package org.lockstep.cli.bench;

import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.Roster;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.World;
import org.lockstep.cuda.PeerOptions;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.topology.GroupKind;

/**
 * Measures a plan on one rank of a group. Every rank runs one; what they decide, they decide by times that all of them
 * have. Confined to the rank's thread.
 */
final class Stopwatch {
    /** Calls after which the JIT has all it wants to know, and the time it then has to compile. */
    private static final int WARM_CALLS = 20_000;

    private static final long WARM_NANOS = 250_000_000;

    /** However slow a call is. */
    private static final long WARM_NANOS_AT_MOST = 1_000_000_000;

    /** Of sizes above it: what takes their time is compiled after a few calls. */
    private static final int LARGE_BYTES = 64 << 10;

    private static final long WARM_BLOCK_NANOS = 20_000_000;
    private static final int SETTLED_BLOCKS = 8;
    private static final long SETTLE_NANOS_AT_MOST = 4_000_000_000L;

    /** In which all ranks rest between two blocks. */
    private static final long JIT_NANOS = 10_000_000;

    private static final int MOST_CALLS = 20_000;
    private static final int TRIALS = 4;
    private static final int CALLS_OF_A_TRIAL = 2;
    private static final int FEWEST_BATCHES = 3;

    private final Communicator group;
    private final Kernels kernels;
    private final BenchBackend backend;
    private final String transport;
    private final BenchPlan plan;
    private final Consumer<? super Measurement> report;
    private final HostBuffer clock = HostBuffer.allocate(DataType.F64, 1);
    private final HostBuffer tally = HostBuffer.allocate(DataType.I64, 1);

    /**
     * A stopwatch whose measurements are given to {@code report} on rank 0, as they are made.
     *
     * @param kernels of this rank's device
     * @throws LockstepException NO_EFFECT where the world's groups are not carried by what is to be measured
     */
    Stopwatch(
            World world, Kernels kernels, BenchBackend backend, BenchPlan plan, Consumer<? super Measurement> report) {
        this.group = world.communicators().of(GroupKind.WORLD);
        this.kernels = kernels;
        this.backend = backend;
        this.transport = farthest(world.roster()).toString();
        this.plan = plan;
        this.report = report;
        boolean byNccl = backend == BenchBackend.NCCL || backend == BenchBackend.NCCL_SHARED;
        if (byNccl && group.size() > 1 && !group.isRecordable()) {
            throw LockstepException.report(
                            ErrorCode.NO_EFFECT,
                            "--backend " + backend.word()
                                    + ", but the ranks' devices exchange through the host: there is no NCCL, they share a"
                                    + " device, or the configuration keeps it out")
                    .attempt("a device for each rank, and --conf spark.lockstep.gpu.nccl = the path of a libnccl.so.2;"
                            + " lockstep doctor says what there is")
                    .exception();
        }
    }

    /** What carries an operation: barriers are the host's, and a rank alone has nobody to exchange with. */
    private String carrier(Operation operation, long bytes) {
        if (group.size() == 1) {
            return "none";
        }
        boolean byHost = backend == BenchBackend.HOST || operation == Operation.BARRIER || isStaged(operation, bytes);
        return byHost ? transport : backend.word();
    }

    /** Ranks of several JVMs reach each other's devices for small all-reduces alone. */
    private boolean isStaged(Operation operation, long bytes) {
        return backend == BenchBackend.PEER
                && !transport.equals(TransportKind.THREAD.toString())
                && (operation != Operation.ALL_REDUCE || bytes > PeerOptions.DEFAULT.limit());
    }

    /** What carries the data between the first rank and the one that is farthest from it. */
    private static TransportKind farthest(Roster roster) {
        return IntStream.range(1, roster.size())
                .mapToObj(rank -> roster.transport(0, rank))
                .max(Comparator.naturalOrder())
                .orElse(TransportKind.THREAD);
    }

    /** Warms everything up, then measures it. */
    void run() {
        Exchanges exchanges = new Exchanges(group, kernels, plan);
        List<Case> cases = plan.cases();
        for (Case each : cases) {
            Exchange exchange = exchanges.of(each);
            exchange.prepare();
            warmUp(exchange, each.bytes());
        }
        for (Case each : cases) {
            Measurement measurement = measure(each, exchanges.of(each));
            if (group.rankInGroup() == 0) {
                report.accept(measurement);
            }
        }
    }

    private void warmUp(Exchange exchange, long bytes) {
        if (plan.warmUps() >= 0) {
            repeat(exchange, plan.warmUps());
            return;
        }
        long enough = bytes > LARGE_BYTES ? WARM_NANOS : WARM_NANOS_AT_MOST;
        double spent = 0;
        long done = 0;
        int calls = 1;
        while (spent < enough && (done < WARM_CALLS || spent < WARM_NANOS)) {
            long start = System.nanoTime();
            repeat(exchange, calls);
            double took = slowest((double) (System.nanoTime() - start));
            spent += took;
            done += calls;
            if (took < WARM_BLOCK_NANOS && calls < MOST_CALLS) {
                calls *= 2;
            }
        }
    }

    private Measurement measure(Case each, Exchange exchange) {
        exchange.prepare();
        long wrong = plan.check() ? called(exchange) : 0;
        if (plan.warmUps() < 0) {
            settle(exchange);
        }
        int calls = plan.calls() > 0 ? plan.calls() : callsOfABatch(exchange);
        double[] times = new double[plan.batches()];
        double spent = 0;
        int done = 0;
        // On a busy machine a batch can take far longer than aimed at: all ranks know it, and stop early.
        double enough = 4.0 * plan.batches() * plan.batchNanos();
        while (done < plan.batches() && (done < FEWEST_BATCHES || spent < enough)) {
            group.barrier();
            long start = System.nanoTime();
            repeat(exchange, calls);
            double mine = (double) (System.nanoTime() - start) / calls;
            times[done] = slowest(mine);
            spent += times[done++] * calls;
        }
        if (plan.check()) {
            wrong += exchange.isStable() ? exchange.wrong() : 0;
            exchange.prepare();
            wrong += called(exchange);
            wrong = sum(wrong);
        }
        Arrays.sort(times, 0, done);
        Operation operation = each.operation();
        boolean barrier = operation == Operation.BARRIER;
        return new Measurement(
                operation,
                group.size(),
                barrier ? 0 : plan.bytes(each, group.size()),
                each.count(plan.type(), group.size()),
                barrier ? "none" : plan.type().toString(),
                operation.reduces() ? plan.kind().toString() : "none",
                operation.isRooted() ? plan.root() : -1,
                each.inPlace(),
                times[done / 2] / operation.ways(),
                times[0] / operation.ways(),
                calls,
                plan.check() ? wrong : -1,
                carrier(operation, plan.bytes(each, group.size())));
    }

    private void settle(Exchange exchange) {
        int calls = Math.max(2, callsOfABatch(exchange) / 2);
        Settling settling = new Settling(SETTLED_BLOCKS, SETTLE_NANOS_AT_MOST);
        while (!settling.isSettled()) {
            double compiled = Settling.compilation();
            long start = System.nanoTime();
            repeat(exchange, calls);
            double took = slowest((double) (System.nanoTime() - start));
            double rest = Settling.restOfTheJit(JIT_NANOS);
            settling.ran(took, slowest(Settling.compilation() - compiled + rest));
            if (took < WARM_BLOCK_NANOS / 4.0 && calls < MOST_CALLS) {
                calls *= 2;
                settling.restart(2 * took);
            }
        }
    }

    /** What a device is to do is queued, and then waited for once, as nccl-tests does it. */
    private void repeat(Exchange exchange, int calls) {
        exchange.loop().repeat(calls);
        kernels.synchronize();
    }

    private long called(Exchange exchange) {
        repeat(exchange, 1);
        return exchange.wrong();
    }

    /** As many calls as take a batch's time on the slowest rank. */
    private int callsOfABatch(Exchange exchange) {
        double best = Double.MAX_VALUE;
        for (int trial = 0; trial < TRIALS; trial++) {
            long start = System.nanoTime();
            repeat(exchange, CALLS_OF_A_TRIAL);
            best = Math.min(best, (double) (System.nanoTime() - start) / CALLS_OF_A_TRIAL);
        }
        double each = Math.max(1, slowest(best));
        return (int) Math.max(1, Math.min(MOST_CALLS, plan.batchNanos() / each));
    }

    /** The largest of all ranks' {@code nanos}. */
    private double slowest(double nanos) {
        clock.doubles()[0] = nanos;
        group.allReduce(clock, ReduceOp.MAX);
        return clock.doubles()[0];
    }

    private long sum(long mine) {
        tally.longs()[0] = mine;
        group.allReduce(tally, ReduceOp.SUM);
        return tally.longs()[0];
    }
}
