package org.lockstep.cli;

import java.io.PrintWriter;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import org.apache.spark.api.java.JavaSparkContext;
import org.lockstep.ErrorCode;
import org.lockstep.cli.bench.BenchJson;
import org.lockstep.cli.bench.BenchTable;
import org.lockstep.cli.bench.JvmRanks;
import org.lockstep.cli.bench.Measurement;
import org.lockstep.cli.bench.Place;
import org.lockstep.cli.bench.SparkRanks;
import org.lockstep.cli.bench.ThreadRanks;
import org.lockstep.topology.ParallelSizes;

/** One run of {@code lockstep bench}: the same plan on ranks of each place, one place after the other. */
final class BenchRun implements Callable<Integer> {
    private final BenchRequest request;
    private final Screen screen;
    private final ThreadRanks threads;
    private final AtomicLong wrong = new AtomicLong();

    BenchRun(BenchRequest request, Screen screen) {
        this(request, screen, new ThreadRanks());
    }

    /** @param threads where the ranks are threads of this JVM */
    BenchRun(BenchRequest request, Screen screen, ThreadRanks threads) {
        this.request = request;
        this.screen = screen;
        this.threads = threads;
    }

    /** The exit code: 0, or 1 where results were wrong, or 130 where a run on Spark was cancelled. */
    @Override
    public Integer call() throws Exception {
        if (!request.verbose()) {
            CommandSession.quiet();
        }
        for (Place place : request.places()) {
            PrintWriter tables = request.json() ? screen.err() : screen.out();
            BenchTable table = new BenchTable(tables, place);
            Consumer<Measurement> report = measurement -> wrong.addAndGet(Math.max(0, measurement.wrong()));
            report = report.andThen(table);
            report = request.json() ? report.andThen(new BenchJson(screen.out(), place)) : report;
            switch (place) {
                case THREADS -> threads.measure(request.rankSpec(place), request.plan(), report);
                case JVMS, TCP -> JvmRanks.measure(request.rankSpec(place), request.plan(), report);
                case SPARK -> {
                    if (!measureOnSpark(report)) {
                        return ErrorCode.CANCELLED.exitCode();
                    }
                }
            }
            table.end();
        }
        return wrong.get() == 0 ? 0 : 1;
    }

    private boolean measureOnSpark(Consumer<Measurement> report) throws Exception {
        CommandSession.requireSpark();
        CommandSession.check(request.spark(), ParallelSizes.tensor(request.ranks()), OptionalInt.of(request.ranks()));
        try (CommandSession session = CommandSession.open(request.spark(), screen)) {
            try {
                SparkRanks.measure(
                        new JavaSparkContext(session.spark().sparkContext()),
                        request.backend(),
                        request.ranks(),
                        request.plan(),
                        report);
                return true;
            } catch (Exception e) { // Spark's own are checked, and undeclared
                if (session.isCancelled()) {
                    return false;
                }
                throw e;
            }
        }
    }
}
