package org.lockstep.cli;

import java.io.PrintWriter;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import org.lockstep.cli.bench.BenchJson;
import org.lockstep.cli.bench.BenchTable;
import org.lockstep.cli.bench.JvmRanks;
import org.lockstep.cli.bench.Measurement;
import org.lockstep.cli.bench.Place;
import org.lockstep.cli.bench.ThreadRanks;

/** One run of {@code lockstep bench}: the same plan on ranks of each place, one place after the other. */
final class BenchRun implements Callable<Integer> {
    private final BenchRequest request;
    private final Screen screen;
    private final AtomicLong wrong = new AtomicLong();

    BenchRun(BenchRequest request, Screen screen) {
        this.request = request;
        this.screen = screen;
    }

    /** The exit code: 0, or 1 where results were wrong. */
    @Override
    public Integer call() {
        for (Place place : request.places()) {
            PrintWriter tables = request.json() ? screen.err() : screen.out();
            BenchTable table = new BenchTable(tables, place);
            Consumer<Measurement> report = measurement -> wrong.addAndGet(Math.max(0, measurement.wrong()));
            report = report.andThen(table);
            measure(place, request.json() ? report.andThen(new BenchJson(screen.out(), place)) : report);
            table.end();
        }
        return wrong.get() == 0 ? 0 : 1;
    }

    private void measure(Place place, Consumer<Measurement> report) {
        switch (place) {
            case THREADS -> ThreadRanks.measure(request.rankSpec(place), request.plan(), report);
            case JVMS, TCP -> JvmRanks.measure(request.rankSpec(place), request.plan(), report);
        }
    }
}
