package org.lockstep.cli;

import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.apache.spark.sql.SparkSession;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.model.ModelConfig;
import org.lockstep.spark.Generation;
import org.lockstep.spark.Llm;
import org.lockstep.spark.ModelCheck;
import org.lockstep.spark.Plan;
import org.lockstep.spark.attempt.UnfinishedRunException;

/** One run of {@code lockstep generate}: prompts from a file, answers to a file or to the screen. */
final class GenerateRun implements Callable<Integer> {
    private final GenerateRequest request;
    private final ResumeCommand resume;
    private final Screen screen;
    private final @Nullable OutputFile output;
    private final @Nullable ReportFile report;

    GenerateRun(GenerateRequest request, ResumeCommand resume, Screen screen) {
        this.request = request;
        this.resume = resume;
        this.screen = screen;
        this.output = request.output() == null ? null : new OutputFile(request.output());
        this.report = request.report() == null ? null : new ReportFile(request.report());
    }

    /** The exit code: 0, or 1 where rows have errors, or 130 where it was cancelled. */
    @Override
    public Integer call() {
        if (!request.verbose()) {
            CommandSession.quiet(); // before the tokenizer's library has started the log
        }
        checkBeforeSparkStarts();
        CommandSession.sayWhatIsLeftAside(request.spark(), screen);
        try (CommandSession session = CommandSession.open(request.spark(), screen)) {
            try {
                return generate(session.spark());
            } catch (UnfinishedRunException e) {
                screen.err().println(e.getMessage());
                screen.err().println("to go on: " + resume.from(e.checkpointDir()));
                screen.flush();
                return session.isCancelled()
                        ? ErrorCode.CANCELLED.exitCode()
                        : e.code().exitCode();
            } catch (Exception e) { // Spark's own are checked, and undeclared
                if (session.isCancelled()) {
                    return ErrorCode.CANCELLED.exitCode();
                }
                throw e;
            }
        }
    }

    /** What can be known in no time, so that a wrong word does not first start Spark. */
    private void checkBeforeSparkStarts() {
        LaunchRequest launch = request.launch();
        launch.checkWorld();
        String model = launch.model();
        try (ModelFiles files =
                model == null ? ModelFiles.resource(Llm.BUNDLED) : ModelFiles.directory(Path.of(model))) {
            ModelConfig config = ModelConfig.read(files);
            config.checkSplit(
                    launch.sizes().tp(), launch.sizes().pp(), launch.sizes().chunks());
            CommandSession.requireSpark();
            CommandSession.check(request.spark(), launch.sizes(), launch.ranks());
            checkFiles();
            ModelCheck.of(files, config);
        }
    }

    private void checkFiles() {
        String prompts = request.prompts();
        if (prompts != null) {
            Prompts.local(prompts).ifPresent(file -> Prompts.check(prompts, file));
        }
        if (report != null) {
            report.check();
        }
        if (output != null) {
            output.check();
            if (prompts != null && output.replaces(prompts)) {
                throw LockstepException.report(
                                ErrorCode.USAGE,
                                output.name().equals(prompts)
                                        ? "prompts and output are one file: " + prompts
                                        : "the output " + output.name() + " would replace the prompts in " + prompts)
                        .attempt("another --output")
                        .exception();
            }
        }
        Prompts.schema(prompts, request.promptColumn()).ifPresent(schema -> checkColumns(schema.fieldNames()));
        if (prompts != null
                && (Prompts.isParquet(prompts) || Prompts.local(prompts).isEmpty())) {
            HadoopOnJava.check(prompts);
        }
        if (output != null && Prompts.isParquet(output.name())) {
            HadoopOnJava.check(output.name());
        }
    }

    private void checkColumns(String[] columns) {
        if (output != null) {
            output.checkColumns(columns);
        }
        List<String> names = List.of(columns);
        requireColumn(names, request.promptColumn(), "--prompt-column NAME");
        if (request.samplingColumn() != null) {
            requireColumn(names, request.samplingColumn(), "--sampling-column NAME");
        }
        Llm.OUTPUT_COLUMNS.stream().filter(names::contains).findFirst().ifPresent(taken -> {
            throw LockstepException.report(
                            ErrorCode.USAGE,
                            "the input has a column '" + taken + "', which is one of ours: " + Llm.OUTPUT_COLUMNS)
                    .attempt("rename it in the input")
                    .exception();
        });
    }

    private static void requireColumn(List<String> names, String wanted, String option) {
        if (!names.contains(wanted)) {
            throw LockstepException.report(ErrorCode.USAGE, "there is no column '" + wanted + "' among " + names)
                    .attempt(option)
                    .exception();
        }
    }

    private int generate(SparkSession spark) {
        Llm llm = request.failures().apply(request.launch().on(spark));
        if (request.samplingColumn() != null) {
            llm = llm.samplingColumn(request.samplingColumn());
        }
        Prompts prompts = Prompts.read(spark, request.prompts(), request.promptColumn(), output == null);
        if (output != null) {
            output.checkColumns(prompts.rows().columns());
        }
        PrintWriter above = output == null ? screen.out() : screen.err();
        Plan plan = llm.plan();
        above.println(plan);
        above.flush();

        // The cluster may have grown since: what runs is what was shown.
        Generation generation;
        try (Llm shown = llm.dataParallel(plan.grid().sizes().dp())) {
            generation = run(shown, prompts);
        } catch (Exception e) { // Spark's own are checked, and undeclared
            report(plan.html(e), e);
            throw e;
        }
        try {
            if (output != null) {
                output.write(generation.rows(), prompts.jsonColumns());
            } else {
                Stories.print(screen.out(), generation.rows(), request.promptColumn());
            }
            screen.flush();
        } catch (Exception e) { // Spark's own are checked, and undeclared
            generation
                    .kept()
                    .ifPresent(kept -> screen.err()
                            .println("all rows are kept; to write them: "
                                    + resume.from(kept.place().toString())));
            report(generation.html(), e);
            throw e;
        }
        if (report != null) {
            report.write(generation.html());
        }
        generation.letGo();
        screen.err().println(generation.report());
        return generation.report().rowsFailed() == 0 ? 0 : 1;
    }

    /** Writes the report beside a failure, which matters more than one of the report's own. */
    private void report(String html, Exception failure) {
        if (report == null) {
            return;
        }
        try {
            report.write(html);
        } catch (LockstepException unwritten) {
            screen.err().println(unwritten.getMessage());
            failure.addSuppressed(unwritten);
        }
    }

    private Generation run(Llm llm, Prompts prompts) {
        if (!screen.terminal()) {
            return llm.run(prompts.rows(), request.promptColumn(), request.params());
        }
        try (ProgressLine line = new ProgressLine(screen.err())) {
            return llm.onProgress(line).run(prompts.rows(), request.promptColumn(), request.params());
        }
    }
}
