package org.lockstep.cli;

import java.util.List;
import java.util.concurrent.Callable;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code lockstep generate}: its options, under vLLM's names; {@link GenerateRun} does it. */
@Command(
        name = "generate",
        description = {
            "Generates text for the rows of a file with a model that is spread over the ranks of a Spark barrier stage.",
            "Without any option the bundled model tells stories on this machine: local[4], tensor 2 × pipeline 2."
        },
        mixinStandardHelpOptions = true,
        versionProvider = Lockstep.Version.class,
        sortOptions = false,
        usageHelpAutoWidth = true,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            "0:every row has its text",
            "1:done, but some rows have an error, told in their column error",
            "2:usage: a wrong option, file or size",
            "3:environment: Spark, the cluster or the model cannot run this",
            "4:the gang of ranks failed",
            "130:cancelled (Ctrl-C)"
        },
        footer = {
            "",
            "Rows keep their order and all their columns; after these come text, finish_reason (stop or length),"
                    + " prompt_tokens, output_tokens and error. Where error is not null the others are.",
            "",
            "Text and JSON lines are read by the driver, from its own file system or any that Spark knows (hdfs://…),"
                    + " which unpacks .gz, .bz2, .zst, .lz4 and .snappy there; in text each line is a prompt, blank lines among"
                    + " JSON lines are skipped. JSON lines are written to the driver's own file system. For input or output"
                    + " beyond the driver's memory or reach take Parquet, where values that have no plain column type"
                    + " (objects, arrays, mixed types, numbers beyond double) stand as JSON text. A file that is already there"
                    + " is replaced.",
            "",
            "The plan is printed before anything is launched: above the stories, or with --output to standard error,"
                    + " where a summary line ends every run.",
            "",
            "Where executors or peers are lost another attempt does the rows that are not done. Where that does not help, or"
                    + " after Ctrl-C (again: at once), the rows that are done are kept, and the command to go on with the"
                    + " rest is printed.",
            "",
            "Examples:",
            "  lockstep generate",
            "  lockstep generate -tp 2 -dp 2 --temperature 0 --max-tokens 32 --output stories.jsonl",
            "  lockstep generate --model /models/Llama-3.1-8B -tp 4 --prompts questions.parquet --prompt-column question"
                    + " --output answers.parquet",
            "  spark-submit --class org.lockstep.cli.Lockstep lockstep-all.jar generate --model /models/Llama-3.1-8B"
                    + " -tp 4 -pp 2 --prompts questions.jsonl --output answers.jsonl"
        })
@OptionGroup("Rows")
final class GenerateCommand implements Callable<Integer> {
    private final Screen screen;
    private final BooleanSupplier verbose;

    @Spec
    private CommandSpec spec = CommandSpec.create(); // picocli puts its own here

    @Mixin
    private final LaunchOptions launch = new LaunchOptions();

    @Option(
            names = "--prompts",
            paramLabel = "FILE",
            description = "Prompts: .jsonl, .ndjson or .json (an object a line), .parquet, else text (a prompt a line)."
                    + " Default: the bundled beginnings of stories; eight of them on the screen, all 64 with --output.")
    private @Nullable String prompts;

    @Option(
            names = "--prompt-column",
            paramLabel = "NAME",
            description = "Column of the prompts (default: ${DEFAULT-VALUE}).")
    private String promptColumn = "prompt";

    @Option(
            names = "--output",
            paramLabel = "FILE",
            description =
                    "Where the rows go: .jsonl (one file, an object a line) or .parquet (a directory). Default: the"
                            + " texts are printed.")
    private @Nullable String output;

    @Option(
            names = "--report",
            paramLabel = "FILE",
            description =
                    "Where a report of the run goes: one .html file that opens without a network, with the machine,"
                            + " what each rank did when, latencies, traffic and errors. Of a run that fails it tells what"
                            + " happened, who is to blame and what is kept.")
    private @Nullable String report;

    @Mixin
    private final SamplingOptions sampling = new SamplingOptions();

    @Mixin
    private final EngineOptions engine = new EngineOptions();

    @Mixin
    private final FailureOptions failures = new FailureOptions();

    @Mixin
    private final SparkOptions spark = new SparkOptions();

    GenerateCommand(Screen screen, BooleanSupplier verbose) {
        this.screen = screen;
        this.verbose = verbose;
    }

    @Override
    public Integer call() throws Exception {
        List<String> words = spec.root().commandLine().getParseResult().originalArgs();
        return new GenerateRun(request(), new ResumeCommand(words), screen).call();
    }

    GenerateRequest request() {
        try {
            return new GenerateRequest(
                    launch.request(engine),
                    prompts,
                    promptColumn,
                    sampling.column(),
                    output,
                    report,
                    sampling.params(launch.model() == null),
                    failures.request(),
                    spark.master(),
                    spark.conf(),
                    verbose.getAsBoolean());
        } catch (IllegalArgumentException e) {
            throw LockstepException.report(ErrorCode.USAGE, String.valueOf(e.getMessage()))
                    .attempt("lockstep generate --help")
                    .cause(e)
                    .exception();
        }
    }
}
