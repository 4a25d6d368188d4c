package org.lockstep.cli;

import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.function.Consumer;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.cli.bench.inference.BenchModel;
import org.lockstep.cli.bench.inference.EngineRows;
import org.lockstep.cli.bench.inference.RaggedRows;
import org.lockstep.cli.bench.inference.Speed;
import org.lockstep.cli.bench.inference.SpeedJson;
import org.lockstep.cli.bench.inference.SpeedTable;
import org.lockstep.cli.bench.inference.ThreadReplicas;
import org.lockstep.model.ModelConfig;
import org.lockstep.spark.Llm;
import org.lockstep.topology.ParallelSizes;

/** One run of {@code lockstep bench inference}: the same plan for each combination of types and sizes. */
final class InferenceBenchRun {
    private final InferenceBenchRequest request;
    private final Screen screen;

    InferenceBenchRun(InferenceBenchRequest request, Screen screen) {
        this.request = request;
        this.screen = screen;
    }

    /** The exit code: 0, or 1 where a row's text differs, or 130 where a job was cancelled. */
    int call() {
        int code = 0;
        try (ModelFiles files = files()) {
            ModelConfig config = ModelConfig.read(files);
            check(config);
            for (Dtype dtype : request.dtypes()) {
                BenchModel model = request.random()
                        ? BenchModel.random(request.name(), config, dtype.weightType())
                        : BenchModel.stored(request.name(), config, dtype.weightType(), files);
                for (ParallelSizes sizes : request.sizes()) {
                    code = Math.max(code, measure(model, dtype, sizes));
                }
            }
        }
        return code;
    }

    private ModelFiles files() {
        Path place = request.place();
        if (place == null) {
            return ModelFiles.resource(Llm.BUNDLED);
        }
        return request.random() ? ModelFiles.settings(place) : ModelFiles.directory(place);
    }

    /** What cannot be is told before the first combination is measured. */
    private void check(ModelConfig config) {
        RaggedRows rows = request.rows();
        int positions = rows == null ? request.plan().positions() : rows.positions();
        if (positions > config.maxPositions()) {
            throw LockstepException.report(
                            ErrorCode.USAGE,
                            "sequences of " + positions + " tokens are longer than the model's " + config.maxPositions()
                                    + " positions")
                    .attempt("a shorter --prompt-len, --output-len or --depth")
                    .exception();
        }
        request.sizes().forEach(sizes -> config.checkSplit(sizes.tp(), sizes.pp()));
    }

    private int measure(BenchModel model, Dtype dtype, ParallelSizes sizes) {
        int threads = request.threads(sizes);
        RankBackends backends = RankBackends.of(request.device(), InferenceBenchRequest.ranks(sizes), threads);
        PrintWriter tables = request.json() ? screen.err() : screen.out();
        String title = model.describe() + "; tensor " + sizes.tp() + " × pipeline " + sizes.pp() + " × data "
                + sizes.dp() + ", " + backends;
        ThreadReplicas replicas = new ThreadReplicas(sizes, backends, request.limit());
        RaggedRows rows = request.rows();
        int code = 0;
        if (rows == null) {
            Consumer<Speed> report = new SpeedTable(tables, title);
            if (request.json()) {
                report = report.andThen(
                        new SpeedJson(screen.out(), model.name(), model.quant(), sizes, threads, backends.kind()));
            }
            replicas.measure(model, request.plan(), report);
        } else {
            EngineRows engine = new EngineRows(replicas, model, EngineRows.limits(rows));
            code = new RowsBenchRun(request, screen, title, rows, engine, dtype).call();
        }
        screen.flush();
        return code;
    }
}
