package org.lockstep.spark;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.apache.spark.SparkContext;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.sql.Row;
import org.apache.spark.storage.StorageLevel;
import org.lockstep.commit.Manifest;
import org.lockstep.inference.GeneratorOptions;
import org.lockstep.inference.SamplingParams;
import org.lockstep.model.ModelConfig;
import org.lockstep.spark.attempt.AttemptLoop;
import org.lockstep.spark.failure.GangWatch;
import org.lockstep.spark.gang.Residence;
import org.lockstep.spark.preflight.TaskRequest;
import org.lockstep.spark.report.Progress;
import org.lockstep.spark.report.ProgressListener;
import org.lockstep.spark.report.RunCounters;
import org.lockstep.spark.report.RunReport;
import org.lockstep.spark.rows.Answers;
import org.lockstep.spark.rows.EvenRows;
import org.lockstep.spark.rows.IndexedRow;
import org.lockstep.spark.rows.KeptResults;
import org.lockstep.spark.rows.KeptRows;
import org.lockstep.spark.rows.RowColumns;
import org.lockstep.spark.settings.Settings;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.RankOrder;

/**
 * One attempt of a generation: the barrier stage in which all rows get their answers, those that are committed already from
 * there. Confined to the caller's thread.
 *
 * @param planner plans the ranks for the cluster as it is at that moment
 * @param label of its jobs
 */
record Launch(Model model, Input input, Supplier<Plan> planner, JobLabel label, Consumer<Progress> progress, long start)
        implements AttemptLoop.Attempt<Launch.Result> {
    /** What runs. */
    record Model(FoundModel found, ModelConfig config, RankOrder order, LlmDevice device) {}

    /** What it runs on. */
    record Input(EvenRows even, RowColumns columns, SamplingParams params, boolean failOnRowError) {}

    /** What it gave; the report is of the moment it is asked for. */
    record Result(JavaRDD<Row> answers, Plan plan, Supplier<RunReport> report) {}

    /** All that decides the texts: rows of a run that is equal in these can stand beside each other. */
    List<Manifest.Field> identity(Plan plan, String promptColumn, Optional<String> samplingColumn) {
        return List.of(
                new Manifest.Field("model", model.found.source().toString()),
                new Manifest.Field("model config", model.config.toString()),
                new Manifest.Field(
                        "weights",
                        model.found.stored() + ", " + model.found.content().weights()),
                new Manifest.Field("tokenizer", model.found.content().tokenizer()),
                new Manifest.Field("cache", plan.options().cacheType().toString()),
                new Manifest.Field("device", plan.perRank().device().isCuda() ? "cuda" : "cpu"),
                new Manifest.Field(
                        "max model length", Integer.toString(plan.options().maxModelLength())),
                new Manifest.Field("sampling", input.params.toString()),
                new Manifest.Field("prompt column", promptColumn),
                new Manifest.Field("sampling column", samplingColumn.orElse("none")),
                new Manifest.Field(
                        "prompts and their sampling", input.even.prompts().toString()));
    }

    @Override
    public Result run(KeptResults.Ticket ticket, GangWatch watch, int number, int shrink) {
        Plan plan = planner.get();
        GeneratorOptions options = plan.options().halved(shrink);
        int kept = ticket.attempt().done();
        label.describe(String.format(
                Locale.ROOT,
                "generate %,d rows, %s%s",
                input.even.count() - kept,
                plan.grid().sizes(),
                number == 1 ? "" : ", attempt " + number));
        RunCounters counters = RunCounters.register(input.even.source().rdd().sparkContext());
        JavaRDD<Row> answers = kept == input.even.count() && ticket.required() // else executors may not see them
                ? KeptRows.of(counted(joined(ticket, counters)))
                : stage(plan, options, ticket, watch, counters);
        return new Result(
                answers,
                plan,
                () -> new RunReport(
                        input.even.count(),
                        kept,
                        number,
                        counters.rowsFailed().value(),
                        counters.promptTokens().value(),
                        counters.cachedTokens().value(),
                        counters.outputTokens().value(),
                        counters.preemptions().value(),
                        drawnSeed(ticket),
                        Duration.ofNanos(System.nanoTime() - start),
                        plan.grid().sizes(),
                        plan.perRank().each(),
                        counters.reports().value().ranks()));
    }

    /** The seed of a run that is given none: all its attempts have it, and hardly any other run. */
    private static long seed(KeptResults.Ticket ticket) {
        return ticket.attempt().run() >>> 32; // short enough to be typed
    }

    private OptionalLong drawnSeed(KeptResults.Ticket ticket) {
        boolean sampled = !input.params.isGreedy() || input.columns.areSampledApart();
        return sampled && input.params.seed() == null ? OptionalLong.of(seed(ticket)) : OptionalLong.empty();
    }

    /** All rows are committed where all executors see them: nobody needs a model. */
    private JavaRDD<Row> joined(KeptResults.Ticket ticket, RunCounters counters) {
        return input.even
                .rows()
                .mapPartitions(rows -> {
                    List<IndexedRow> home = new ArrayList<>();
                    rows.forEachRemaining(home::add);
                    var answers = Answers.kept(KeptResults.open(ticket), home);
                    counters.rowsFailed()
                            .add(answers.values().stream()
                                    .filter(row -> row.error() != null)
                                    .count());
                    return Answers.beside(home, answers).iterator();
                })
                .persist(StorageLevel.MEMORY_AND_DISK());
    }

    private static JavaRDD<Row> counted(JavaRDD<Row> rows) {
        rows.count();
        return rows;
    }

    private JavaRDD<Row> stage(
            Plan plan, GeneratorOptions options, KeptResults.Ticket ticket, GangWatch watch, RunCounters counters) {
        SparkContext spark = input.even.source().rdd().sparkContext();
        TaskRequest tasks = model.device.tasks(spark);
        GenerationTask task = new GenerationTask(
                model.found.source(),
                model.config,
                plan,
                options,
                input.params.seed() == null ? input.params.withSeed(seed(ticket)) : input.params,
                input.columns,
                Settings.RUN_TIMEOUT.in(spark.getConf()),
                ticket,
                input.failOnRowError,
                counters);
        long left = input.even.count() - ticket.attempt().done();
        long toLoad = model.found.stored().bytes() * plan.grid().sizes().dp(); // each replica reads all of it
        ProgressListener.Goal goal =
                new ProgressListener.Goal(left, toLoad, plan.grid().sizes().dp());
        ProgressListener listener = new ProgressListener(counters, goal, start, progress);
        try (Residence.Stay stay = model.found.residence().enter(layout(plan, options, tasks))) {
            JavaRDD<IndexedRow> dealt = input.even.dealt(plan.grid().worldSize());
            tasks.profile().ifPresent(dealt::withResources);
            JavaRDD<Row> answers = BarrierStage.over(dealt)
                    .with(plan.grid().sizes())
                    .with(model.order)
                    .on(model.device
                            .backend()
                            .orElseGet(() -> plan.perRank().device().factory(spark, tasks)))
                    .staying(stay)
                    .watchedBy(watch)
                    .connecting(Llm.KINDS.get(0), Llm.KINDS.toArray(GroupKind[]::new))
                    .agreeingOn(Map.of("model", model.config.toString(), "options", options.toString()))
                    .mapRanks(task)
                    .persist(StorageLevel.MEMORY_AND_DISK());
            spark.addSparkListener(listener);
            try {
                listener.begin();
                answers.count();
                listener.end();
                return KeptRows.of(answers);
            } catch (Exception e) { // Spark's own are checked, and undeclared
                tidy(e, stay::fail);
                if (!spark.isStopped()) {
                    tidy(e, () -> answers.unpersist(false));
                }
                throw e;
            }
        } finally {
            spark.removeSparkListener(listener);
        }
    }

    /** Cleans up after a failure, of which it takes nothing away. */
    private static void tidy(Exception failure, Runnable action) {
        try {
            action.run();
        } catch (RuntimeException e) {
            failure.addSuppressed(e);
        }
    }

    /** What a rank that stays must have in common with one that is wanted; the rest is the application's. */
    private String layout(Plan plan, GeneratorOptions options, TaskRequest tasks) {
        return String.join(
                "\n",
                model.config.toString(),
                plan.grid().sizes() + " " + model.order,
                plan.perRank().device().cuda().toString(),
                tasks.toString(),
                options.toString());
    }
}
