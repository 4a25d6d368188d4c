package org.lockstep.cli;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.cli.bench.inference.RaggedRows;
import org.lockstep.cli.bench.inference.SpeedPlan;
import org.lockstep.topology.ParallelSizes;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code lockstep bench inference}: its options, under the names of vLLM and llama-bench. */
@Command(
        name = "inference",
        description = {
            "Measures a model: tokens per second of prompts and of decoding, time to the first token and between tokens,"
                    + " memory of a rank, and where the time goes.",
            "Ranks are threads of this JVM. Of several --dtype, -tp, -pp and -dp every combination is measured."
        },
        mixinStandardHelpOptions = true,
        versionProvider = Lockstep.Version.class,
        sortOptions = false,
        usageHelpAutoWidth = true,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            "0:done",
            "1:with --rows, a text differs",
            "2:usage: a wrong option or size",
            "3:environment: the model cannot be read, or too little memory",
            "4:the gang of ranks failed"
        },
        footer = {
            "",
            "Tests, as llama-bench, llama-batched-bench and a loop in PyTorch measure them, without scheduler and sampler:",
            "  pp512     one sequence of 512 tokens into an empty cache in one step, logits of the last token",
            "  tg        one token a step for each of a batch of sequences, the likeliest one fed back. One sequence starts"
                    + " from an empty cache and makes -n tokens; more start from 128 tokens and make n / 4 each, at least"
                    + " 4. --depth says otherwise. What the cache holds before is zeros: its time is that of any other.",
            "  generate  with --engine: all of a batch of requests of -p tokens at once through scheduler, model and sampler,"
                    + " -n tokens each; the tokens per second are those put out, over the whole time",
            "",
            "With --rows, of prompts of 1 to -p letters and outputs of 1 to -n tokens, distributed as --output-lengths says, at"
                    + " most the largest -b at once in a replica, each once in a repetition, after a tenth of the rows as a warm-up:",
            "  engine    the same ranks as threads of this JVM, without Spark: from prompts to texts, model loaded before",
            "  batches   the engine, where a batch of rows begins when all of the one before are done",
            "  generate  a job in local[ranks × threads] of this JVM, model loaded before: from the call to its rows",
            "'of engine' is the median of the ratios within a repetition. Texts that differ from the engine's make the exit"
                    + " code 1.",
            "",
            "Each test runs until Java has compiled it, at most ten seconds or once, and is then repeated -r times. The time"
                    + " of a repetition is the slowest rank's; the table has the median and the best. Replicas (-dp) each"
                    + " run the batch, and count together. ttft: time to the first token, median. itl: time from one token"
                    + " of a sequence to its next.",
            "",
            "Where the ranks' time goes: kernels, outside of any group's operation; groups, in those of the tensor group on"
                    + " the rank that spends least in them; waiting, what others of it spend beyond that, and all of the"
                    + " other groups' operations, which wait for the stage before. Operations of less than 4 KiB are"
                    + " estimated by a sample.",
            "",
            "JSON: a line for each test with peer (lockstep, cuda, and the sizes above 1), model, quant (f32, bf16, f16, q8_0),"
                    + " test, batch, tps (median), best_tps, depth, tp, pp, dp, threads (of a rank), ttft_ms and itl_ms (p50,"
                    + " p90, p99; where there are such), kernels, collectives, waiting (parts of 1), weight_bytes,"
                    + " cache_bytes, activation_bytes (of the rank with most), device (cpu, cuda).",
            "",
            "Examples:",
            "  lockstep bench inference",
            "  lockstep bench inference --model /models/Llama-3.2-1B --dtype bfloat16,q8 -b 1,8,32",
            "  lockstep bench inference --config /models/Llama-3.2-1B/config.json --dtype float32 -tp 1,2",
            "  lockstep bench inference -tp 2 -pp 2 --engine --json",
            "  lockstep bench inference --rows 200 -p 64 -n 256 --output-lengths exponential -b 16 -dp 2 -r 3"
        })
@OptionGroup("Measurement")
final class BenchInferenceCommand implements Callable<Integer> {
    private static final int MOST = 1 << 20;
    private static final String CONFIG = "config.json";

    private final Screen screen;
    private final HookEnvironment hooks;

    @Spec
    private @Nullable CommandSpec spec;

    @Option(
            names = "--model",
            paramLabel = "DIR",
            description = "Hugging Face directory. Default: the bundled model fable.")
    private @Nullable Path model;

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description =
                    "A config.json, of any name: the weights are random, made as they are read, and nothing is on disk.")
    private @Nullable Path config;

    @Option(
            names = "--dtype",
            paramLabel = "TYPE",
            split = ",",
            description = "float32, bfloat16, float16 or q8: how matrices are held, converted or quantised as they are"
                    + " read; auto: as stored, with --config bfloat16 (default: auto).")
    private List<Dtype> dtypes = List.of(Dtype.AUTO);

    @Option(
            names = {"-p", "--prompt-len", "--input-len"},
            paramLabel = "N",
            description = "Tokens of a prompt; 0 leaves pp out (default: ${DEFAULT-VALUE}).")
    private int prompt = 512;

    @Option(
            names = {"-n", "--output-len"},
            paramLabel = "N",
            description = "Tokens made for a sequence; 0 leaves tg out (default: ${DEFAULT-VALUE}).")
    private int output = 48;

    @Option(
            names = {"-b", "--batch-size"},
            paramLabel = "N",
            split = ",",
            description = "Sequences decoded together by a replica (default: 1,8,32).")
    private List<Integer> batches = List.of(1, 8, 32);

    @Option(
            names = {"-d", "--depth"},
            paramLabel = "N",
            description = "Tokens of each sequence in the cache before tg. Default: 0 for one sequence, 128 for more.")
    private @Nullable Integer depth;

    @Option(
            names = {"--tensor-parallel-size", "-tp"},
            paramLabel = "N",
            split = ",",
            description = ParallelOptions.TENSOR)
    private List<Integer> tensor = List.of(1);

    @Option(
            names = {"--pipeline-parallel-size", "-pp"},
            paramLabel = "N",
            split = ",",
            description = ParallelOptions.PIPELINE)
    private List<Integer> pipeline = List.of(1);

    @Option(
            names = {"--data-parallel-size", "-dp"},
            paramLabel = "N",
            split = ",",
            description = "Replicas, each of which runs the batch (default: 1).")
    private List<Integer> data = List.of(1);

    @Option(
            names = {"-t", "--threads"},
            paramLabel = "N",
            description = "Threads of each rank. Default: the cores of this machine over the ranks, at least 1.")
    private @Nullable Integer threads;

    @Mixin
    private final DeviceOptions device = new DeviceOptions();

    @Option(names = "--engine", description = "Measure whole requests too.")
    private boolean engine;

    @Option(
            names = "--rows",
            paramLabel = "N",
            description = "Measure this instead: N rows by the engine alone and by generate in local[n].")
    private @Nullable Integer rows;

    @Option(
            names = "--output-lengths",
            paramLabel = "HOW",
            description =
                    "With --rows: uniform, from 1 to -n, or exponential: most outputs are short, with a mean of an"
                            + " eighth of -n (default: uniform).")
    private RaggedRows.@Nullable Lengths lengths;

    @Option(
            names = {"-r", "--repetitions"},
            paramLabel = "N",
            description = "Times that each test is measured (default: ${DEFAULT-VALUE}).")
    private int repetitions = 5;

    @Option(
            names = "--timeout",
            paramLabel = "SECONDS",
            description = "For all tests of a combination together (default: ${DEFAULT-VALUE}).")
    private int timeout = 3600;

    @Option(names = "--json", description = "JSON lines on standard output; the tables go to standard error.")
    private boolean json;

    @Option(
            names = "--hook",
            description =
                    "Measure as a peer in a comparison with other engines: MODEL, QUANT, MODEL_F32, MODEL_BF16, PP, TG,"
                            + " BATCHES_TO_TRY, REPETITIONS and THREADS (of all ranks together) come from the environment, JSON lines"
                            + " are printed; none for a QUANT that Lockstep or the model does not have.")
    private boolean hook;

    BenchInferenceCommand(Screen screen, Map<String, String> environment) {
        this.screen = screen;
        this.hooks = new HookEnvironment(environment);
    }

    @Override
    public Integer call() {
        try {
            refuseStrayWords();
            Optional<InferenceBenchRequest> request = hook ? ofHook() : Optional.of(ofOptions());
            return request.map(each -> new InferenceBenchRun(each, screen).call())
                    .orElse(0);
        } catch (IllegalArgumentException e) {
            throw LockstepException.report(ErrorCode.USAGE, String.valueOf(e.getMessage()))
                    .attempt("lockstep bench inference --help")
                    .cause(e)
                    .exception();
        }
    }

    /** What stands before the word {@code inference} would be lost: it is for the operations of groups. */
    private void refuseStrayWords() {
        CommandSpec parent = spec == null ? null : spec.parent();
        if (parent != null) {
            for (ArgSpec each : parent.commandLine().getParseResult().matchedArgs()) {
                require(
                        each instanceof OptionSpec option && option.inherited(),
                        "'" + (each instanceof OptionSpec option ? option.longestName() : each.paramLabel())
                                + "' stands before 'inference', where options and operations are for groups");
            }
        }
    }

    private InferenceBenchRequest ofOptions() {
        require(model == null || config == null, "--model brings its weights, --config is for random ones: not both");
        Path settings = config == null || !Files.isDirectory(config) ? config : config.resolve(CONFIG);
        return new InferenceBenchRequest(
                nameOf(settings == null ? model : settings),
                settings == null ? model : settings,
                config != null,
                dtypes,
                sizes(),
                threads,
                device.request(),
                plan(prompt, output, batches, repetitions),
                ragged(),
                Duration.ofSeconds(timeout),
                json);
    }

    private Optional<InferenceBenchRequest> ofHook() {
        String f32 = hooks.text("MODEL_F32");
        String bf16 = hooks.text("MODEL_BF16");
        String quant = hooks.text("QUANT");
        require(!quant.isEmpty(), "QUANT is not in the environment");
        String widest = f32.isEmpty() ? bf16 : f32;
        return switch (quant) {
            case "f32" -> ofHook(f32, Dtype.FLOAT32);
            case "bf16" -> ofHook(bf16, Dtype.BFLOAT16);
            case "f16" -> ofHook(widest, Dtype.FLOAT16);
            case "q8_0" -> ofHook(widest, Dtype.Q8);
            default -> Optional.empty();
        };
    }

    private Optional<InferenceBenchRequest> ofHook(String folder, Dtype dtype) {
        if (folder.isEmpty()) {
            return Optional.empty();
        }
        List<ParallelSizes> sizes = sizes();
        require(sizes.size() == 1, "--hook measures one combination of -tp, -pp and -dp");
        int ranks = InferenceBenchRequest.ranks(sizes.get(0));
        List<Integer> hooked =
                hooks.words("BATCHES_TO_TRY").stream().map(Integer::valueOf).toList();
        String name = hooks.text("MODEL");
        return Optional.of(new InferenceBenchRequest(
                name.isEmpty() ? nameOf(Path.of(folder)) : name,
                Path.of(folder),
                false,
                List.of(dtype),
                sizes,
                Math.max(1, hooks.integer("THREADS", Runtime.getRuntime().availableProcessors()) / ranks),
                device.request(),
                plan(
                        hooks.integer("PP", prompt),
                        hooks.integer("TG", output),
                        hooked.isEmpty() ? batches : hooked,
                        hooks.integer("REPETITIONS", repetitions)),
                null,
                Duration.ofSeconds(timeout),
                true));
    }

    private SpeedPlan plan(int promptLength, int outputLength, List<Integer> sequences, int times) {
        requireIn("--prompt-len", promptLength, 0);
        requireIn("--output-len", outputLength, 0);
        requireIn("--repetitions", times, 1);
        requireIn("--timeout", timeout, 1);
        sequences.forEach(batch -> requireIn("--batch-size", batch, 1));
        if (depth != null) {
            requireIn("--depth", depth, 0);
        }
        if (threads != null) {
            requireIn("--threads", threads, 1);
        }
        require(promptLength + outputLength > 0, "neither a prompt nor output: nothing to measure");
        require(
                !engine || (promptLength > 0 && outputLength > 0),
                "--engine completes prompts: it needs --prompt-len and --output-len");
        return new SpeedPlan(promptLength, outputLength, sequences, depth, engine, times);
    }

    private @Nullable RaggedRows ragged() {
        if (rows == null) {
            require(lengths == null, "--output-lengths is for --rows");
            return null;
        }
        requireIn("--rows", rows, 1);
        require(config == null, "--rows is for a model with a tokenizer, which --config has not");
        require(prompt > 0 && output > 0, "--rows completes prompts: it needs --prompt-len and --output-len");
        require(!engine, "--rows measures nothing else: not with --engine");
        return new RaggedRows(
                rows,
                prompt,
                output,
                lengths == null ? RaggedRows.Lengths.UNIFORM : lengths,
                batches.stream().max(Integer::compare).orElseThrow());
    }

    private List<ParallelSizes> sizes() {
        List<ParallelSizes> all = new ArrayList<>();
        for (int t : tensor) {
            for (int p : pipeline) {
                for (int d : data) {
                    requireIn("--tensor-parallel-size", t, 1);
                    requireIn("--pipeline-parallel-size", p, 1);
                    requireIn("--data-parallel-size", d, 1);
                    all.add(ParallelSizes.tensor(t).withPipeline(p).withData(d));
                }
            }
        }
        return all;
    }

    /** A folder's name; of settings, that of their file, or of their folder where all files are called alike. */
    private static String nameOf(@Nullable Path place) {
        if (place == null) {
            return "fable";
        }
        Path whole = place.toAbsolutePath().normalize();
        Path named = whole.endsWith(CONFIG) ? whole.getParent() : whole;
        String name = String.valueOf(named == null ? whole : named.getFileName());
        return name.endsWith(".json") ? name.substring(0, name.length() - ".json".length()) : name;
    }

    private static void requireIn(String name, int value, int least) {
        require(value >= least && value <= MOST, name + " (" + value + ") is not in " + least + ".." + MOST);
    }

    private static void require(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(otherwise);
        }
    }
}
