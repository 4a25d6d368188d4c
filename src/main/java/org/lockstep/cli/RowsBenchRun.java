package org.lockstep.cli;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalInt;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.lockstep.ErrorCode;
import org.lockstep.cli.bench.inference.EngineRows;
import org.lockstep.cli.bench.inference.EngineRows.Outcome;
import org.lockstep.cli.bench.inference.RaggedRows;
import org.lockstep.cli.bench.inference.RowsReport;
import org.lockstep.cli.bench.inference.RowsReport.Way;
import org.lockstep.spark.Llm;
import org.lockstep.spark.settings.Settings;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.RankOrder;

/** The same rows by the engine alone and by a job in a Spark of this JVM, in turns. */
final class RowsBenchRun {
    private static final int WARM_PART = 10;
    private static final String PROMPT = "prompt";
    private static final String SAMPLING = "sampling";

    private final InferenceBenchRequest request;
    private final Screen screen;
    private final String title;
    private final RaggedRows ragged;
    private final EngineRows engine;
    private final Dtype dtype;
    private final ParallelSizes sizes;

    RowsBenchRun(
            InferenceBenchRequest request,
            Screen screen,
            String title,
            RaggedRows ragged,
            EngineRows engine,
            Dtype dtype) {
        this.request = request;
        this.screen = screen;
        this.title = title;
        this.ragged = ragged;
        this.engine = engine;
        this.dtype = dtype;
        this.sizes = engine.replicas().sizes();
    }

    /** The exit code: 0, or 1 where a text differs, or 130 where a job was cancelled. */
    int call() {
        CommandSession.quiet();
        CommandSession.requireSpark();
        int threads = request.threads(sizes);
        SparkRequest spark = new SparkRequest(
                "lockstep bench",
                null,
                InferenceBenchRequest.ranks(sizes),
                Map.of("spark.task.cpus", "" + threads, Settings.CPU_THREADS.key(), "" + threads),
                false);
        CommandSession.check(spark, sizes, OptionalInt.empty());
        try (CommandSession session = CommandSession.open(spark, screen);
                Llm llm = llm(session.spark())) {
            try {
                return measure(session.spark(), llm, threads);
            } catch (Exception e) { // Spark's own are checked, and undeclared
                if (session.isCancelled()) {
                    return ErrorCode.CANCELLED.exitCode();
                }
                throw e;
            }
        }
    }

    private Llm llm(SparkSession spark) {
        LaunchRequest launch = new LaunchRequest(
                request.place() == null ? null : request.place().toString(),
                sizes,
                OptionalInt.empty(),
                RankOrder.DEFAULT,
                dtype.weightType(),
                new LaunchRequest.Limits(
                        OptionalInt.of(engine.limits().maxModelLength()),
                        OptionalInt.of(engine.limits().maxSequences()),
                        OptionalInt.of(engine.limits().maxTokensPerStep()),
                        OptionalInt.of(engine.limits().blockSize()),
                        engine.limits().enablePrefixCaching()),
                request.device());
        return launch.on(spark).samplingColumn(SAMPLING);
    }

    private int measure(SparkSession spark, Llm llm, int threads) {
        List<RaggedRows.Row> rows = ragged.rows();
        List<RaggedRows.Row> some = rows.subList(0, (rows.size() + WARM_PART - 1) / WARM_PART);
        for (Way way : Way.values()) {
            complete(way, some, spark, llm);
        }
        List<Map<Way, Double>> rounds = new ArrayList<>();
        int differing = 0;
        for (int round = 0; round < request.plan().repetitions(); round++) {
            Map<Way, Double> nanos = new EnumMap<>(Way.class);
            List<String> texts = List.of();
            for (Way way : Way.values()) {
                Outcome outcome = complete(way, rows, spark, llm);
                nanos.put(way, outcome.nanos());
                screen.err().printf(Locale.ROOT, "# %d: %s %.2f s%n", round + 1, way, outcome.nanos() / 1e9);
                screen.err().flush();
                texts = texts.isEmpty() ? outcome.texts() : texts;
                differing += differing(texts, outcome.texts());
            }
            rounds.add(nanos);
        }
        long tokens = rows.stream().mapToLong(RaggedRows.Row::outputTokens).sum();
        RowsReport report = new RowsReport(title, ragged, tokens, rounds);
        report.print(request.json() ? screen.err() : screen.out());
        if (request.json()) {
            report.printJson(screen.out(), engine.model(), sizes, threads);
        }
        if (differing > 0) {
            screen.err().println(differing + " texts differ from the engine's");
        }
        return differing == 0 ? 0 : 1;
    }

    private Outcome complete(Way way, List<RaggedRows.Row> rows, SparkSession spark, Llm llm) {
        return switch (way) {
            case ENGINE -> engine.complete(rows, rows.size());
            case BATCHES -> engine.complete(rows, Math.multiplyExact(ragged.atOnce(), sizes.dp()));
            case GENERATE -> generate(rows, spark, llm);
        };
    }

    private static Outcome generate(List<RaggedRows.Row> rows, SparkSession spark, Llm llm) {
        Dataset<Row> input = spark.createDataFrame(
                rows.stream()
                        .map(row -> RowFactory.create(row.prompt(), "{\"max_tokens\": " + row.outputTokens() + "}"))
                        .toList(),
                new StructType().add(PROMPT, DataTypes.StringType).add(SAMPLING, DataTypes.StringType));
        long start = System.nanoTime();
        List<Row> answers = llm.generate(input, PROMPT, EngineRows.params()).collectAsList();
        double nanos = (double) (System.nanoTime() - start);
        return new Outcome(
                nanos,
                answers.stream()
                        .map(row -> String.valueOf(row.<String>getAs("text")))
                        .toList());
    }

    private static int differing(List<String> expected, List<String> actual) {
        int differing = Math.abs(expected.size() - actual.size());
        for (int i = 0; i < Math.min(expected.size(), actual.size()); i++) {
            differing += expected.get(i).equals(actual.get(i)) ? 0 : 1;
        }
        return differing;
    }
}
