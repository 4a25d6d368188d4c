package org.lockstep.cli;

import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.cli.bench.BenchBackend;
import org.lockstep.cli.bench.BenchPlan;
import org.lockstep.cli.bench.Operation;
import org.lockstep.cli.bench.Place;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.TransportKind;
import org.lockstep.spark.settings.Settings;
import org.lockstep.tensor.DataType;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code lockstep bench}: its options, under the names of nccl-tests; {@link BenchRun} does it. */
@Command(
        name = "bench",
        description = {
            "Measures the operations of a group: time of a call, bandwidth, and whether the results are right.",
            "Ranks are threads of this JVM, JVMs of this host, or tasks of a Spark barrier stage (--master).",
            "'bench inference' measures a model."
        },
        mixinStandardHelpOptions = true,
        versionProvider = Lockstep.Version.class,
        sortOptions = false,
        usageHelpAutoWidth = true,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            "0:done",
            "1:done, but some results were wrong",
            "2:usage: a wrong operation, size or option",
            "3:environment: Spark, the cluster or the devices cannot run this",
            "4:the gang of ranks failed"
        },
        footer = {
            "",
            "The table is that of nccl-tests. time is that of one call in microseconds: of a batch of calls the slowest"
                    + " rank's mean, of the batches the median. algbw = size / time; busbw = algbw × 2(n-1)/n for"
                    + " all-reduce, × (n-1)/n for operations of blocks, × 1 for the others. size is that of a rank's"
                    + " larger buffer; send-receive goes between the first and the last rank, its time is one way.",
            "",
            "Of device memory a batch's calls are queued and waited for once, as in nccl-tests; barriers are the host's. With"
                    + " --master the configuration gives ranks their devices. One rank alone copies out of place, and in"
                    + " place does nothing: transport none.",
            "",
            "Results are compared before and after the timed calls, and what these left behind too; where a result is"
                    + " summed in place again and again only before and after.",
            "",
            "JSON: a line for each measurement with peer, op, ranks, bytes, lat_us (median), min_us (fastest batch),"
                    + " algbw_GBs, busbw_GBs, count, type, redop, root (-1: none), in_place, calls (of a batch), errors"
                    + " (wrong elements; -1: not compared), transport.",
            "",
            "Examples:",
            "  lockstep bench all-reduce -b 8 -e 16M -f 4",
            "  lockstep bench all --place threads,jvms --ranks 2 -e 1M",
            "  lockstep bench all-gather reduce-scatter --place tcp --sizes 4K,1M -d bf16 --json",
            "  lockstep bench all-reduce --master local[4] --ranks 4",
            "  lockstep bench all-reduce --backend nccl --ranks 8 -b 8 -e 1G -f 2",
            "  lockstep bench all-reduce --backend peer --place threads,jvms -b 8 -e 8M -f 4",
            "  lockstep bench inference --help",
            "  spark-submit --class org.lockstep.cli.Lockstep lockstep-all.jar bench all-reduce --ranks 8"
        })
@OptionGroup("Measurement")
final class BenchCommand implements Callable<Integer> {
    private static final int DEFAULT_BATCHES = 7;
    private static final int DEFAULT_BATCH_MILLIS = 25;
    private static final int MOST_BATCHES = 1000;

    private final Screen screen;
    private final BooleanSupplier verbose;
    private final HookEnvironment hooks;

    @Parameters(
            paramLabel = "OP",
            arity = "0..*",
            description = "all-reduce, all-gather, reduce-scatter, broadcast, reduce, gather, scatter, all-to-all,"
                    + " all-gather-v, reduce-scatter-v, all-to-all-v, send-receive (or ping-pong), barrier; or all.")
    private List<String> words = List.of();

    @Mixin
    private final SizeOptions sizes = new SizeOptions();

    @Option(
            names = {"-n", "--iters"},
            paramLabel = "N",
            description = "Calls of a timed batch. Default: as many as take --batch-ms.")
    private @Nullable Integer iterations;

    @Option(
            names = {"-w", "--warmup-iters"},
            paramLabel = "N",
            description = "Calls before a size is measured. Default: as many as Java needs to compile them, up to a"
                    + " second for each size.")
    private @Nullable Integer warmUps;

    @Option(names = "--batches", paramLabel = "N", description = "Timed batches of a size (default: 7).")
    private @Nullable Integer batches;

    @Option(names = "--batch-ms", paramLabel = "N", description = "Milliseconds of a batch (default: 25).")
    private @Nullable Integer batchMillis;

    @Option(
            names = {"-c", "--check"},
            paramLabel = "0|1",
            description = "Whether results are compared (default: ${DEFAULT-VALUE}).")
    private int check = 1;

    @Option(
            names = {"-o", "--op"},
            paramLabel = "OP",
            description = "Reduction: sum, prod, min, max or avg (default: ${DEFAULT-VALUE}).")
    private String reduction = "sum";

    @Option(
            names = {"-d", "--datatype"},
            paramLabel = "TYPE",
            description =
                    "f64, f32, bf16, f16, f8_e4m3, f8_e5m2, i64, i32, i8 or u8; or NCCL's name: double, float, half, bfloat16,"
                            + " float8e4m3, float8e5m2, int64, int32, int8, uint8 (default: ${DEFAULT-VALUE}).")
    private String type = "f32";

    @Option(
            names = {"-r", "--root"},
            paramLabel = "RANK",
            description = "Root of broadcast, reduce, gather and scatter (default: ${DEFAULT-VALUE}).")
    private int root;

    @Option(
            names = "--backend",
            paramLabel = "NAME",
            description =
                    "host: buffers in host memory, carried by --transports. nccl: in the memory of a device for each"
                            + " rank, carried by NCCL 2.18 or newer; without Spark those are devices 0 to N - 1 of the ones that"
                            + " are visible. nccl-shared: the same of fewer devices than ranks, each rank in a JVM of its own"
                            + " (--place jvms); for checks, it is slow. peer: by memory that devices reach, which ranks of one JVM"
                            + " may share; between JVMs all-reduces of up to 8 MiB, the rest through the host (default:"
                            + " ${DEFAULT-VALUE}).")
    private String backend = "host";

    @Option(names = "--ranks", paramLabel = "N", description = "Ranks of the group (default: 2); 1 is for nccl alone.")
    private @Nullable Integer ranks;

    @Option(
            names = "--place",
            paramLabel = "PLACE",
            split = ",",
            description = "Where ranks live: threads (of this JVM), jvms (of this host), tcp (JVMs that use TCP only);"
                    + " several are measured one after the other (default: threads).")
    private List<String> places = List.of();

    @Option(
            names = "--transports",
            paramLabel = "NAME",
            split = ",",
            description =
                    "What may carry the data: thread, shared, tcp; tcp always may. Default: all, the nearest first.")
    private List<String> transports = List.of();

    @Option(
            names = {"-T", "--timeout"},
            paramLabel = "SECONDS",
            description =
                    "For all measurements of a place together; with --master for each call (default: ${DEFAULT-VALUE}).")
    private int timeout = 1800;

    @Option(names = "--json", description = "JSON lines on standard output; the tables go to standard error.")
    private boolean json;

    @Option(
            names = "--hook",
            description = "Measure as a peer in a comparison with other libraries: OPS, SIZES, RANKS, BATCHES and"
                    + " BATCH_MS come from the environment, JSON lines are printed, and each operation is called as MPI"
                    + " has it: a broadcast in place, all others out of place.")
    private boolean hook;

    @Option(
            names = "--master",
            paramLabel = "URL",
            description = "Measure tasks of a Spark barrier stage on this master, local[2] say, instead of what --place"
                    + " names. spark-submit has its own.")
    private @Nullable String master;

    @Mixin
    private final ConfOption conf = new ConfOption();

    private BenchCommand(Screen screen, BooleanSupplier verbose, Map<String, String> environment) {
        this.screen = screen;
        this.verbose = verbose;
        this.hooks = new HookEnvironment(environment);
    }

    /** The command with its subcommand, which measures a model. */
    static CommandLine commandLine(Screen screen, BooleanSupplier verbose, Map<String, String> environment) {
        return new CommandLine(new BenchCommand(screen, verbose, environment))
                .addSubcommand(new BenchInferenceCommand(screen, environment));
    }

    @Override
    public Integer call() throws Exception {
        return new BenchRun(request(), screen).call();
    }

    BenchRequest request() {
        try {
            int size = hook ? hooks.integer("RANKS", 2) : or(ranks, 2);
            BenchBackend measured = backend();
            List<Place> where = places();
            require(
                    size >= measured.fewestRanks(),
                    "ranks (" + size + ") must be at least " + measured.fewestRanks()
                            + (measured == BenchBackend.HOST ? ": one has nobody to call" : ""));
            require(
                    measured == BenchBackend.HOST || !where.contains(Place.TCP),
                    "--place tcp is for --backend host: what carries device memory is not chosen by it");
            require(
                    measured != BenchBackend.PEER || !conf.settings().containsKey(Settings.GPU_PEER_LIMIT.key()),
                    Settings.GPU_PEER_LIMIT.key()
                            + " is not for --backend peer, whose table tells sizes apart by the default");
            require(timeout > 0, "--timeout (" + timeout + ") must be positive");
            DataType elements = dataType();
            ReduceOp.Kind kind = kind();
            require(
                    elements.isFloating() || kind != ReduceOp.Kind.AVG,
                    "--op avg is for floating types, not " + elements);
            require(root >= 0 && root < size, "--root (" + root + ") is no rank of 0.." + (size - 1));
            require(
                    !elements.isFp8() || size <= BenchPlan.MOST_OF_FP8 || check == 0,
                    "--check 1 is for at most " + BenchPlan.MOST_OF_FP8 + " ranks of " + elements
                            + ", which has no larger sums exactly");
            require(
                    !elements.isFp8() || kind != ReduceOp.Kind.AVG || Integer.bitCount(size) == 1 || check == 0,
                    "--check 1 of --op avg in " + elements + " is for 1, 2, 4 or 8 ranks, not " + size
                            + ": NCCL multiplies by 1/n, which that type has for no other n");
            require(check == 0 || check == 1, "--check (" + check + ") is 0 or 1");
            return new BenchRequest(
                    measured,
                    where,
                    size,
                    transports(),
                    Duration.ofSeconds(timeout),
                    plan(elements, kind, size),
                    json || hook,
                    master,
                    conf.settings(),
                    verbose.getAsBoolean());
        } catch (IllegalArgumentException | ArithmeticException e) {
            throw LockstepException.report(ErrorCode.USAGE, String.valueOf(e.getMessage()))
                    .attempt("lockstep bench --help")
                    .cause(e)
                    .exception();
        }
    }

    private BenchPlan plan(DataType elements, ReduceOp.Kind kind, int size) {
        int batch = hook ? hooks.integer("BATCH_MS", DEFAULT_BATCH_MILLIS) : or(batchMillis, DEFAULT_BATCH_MILLIS);
        int count = hook ? hooks.integer("BATCHES", DEFAULT_BATCHES) : or(batches, DEFAULT_BATCHES);
        require(batch > 0, "a batch of " + batch + " ms is none");
        require(count > 0 && count <= MOST_BATCHES, "batches (" + count + ") are 1 to " + MOST_BATCHES);
        require(iterations == null || iterations > 0, "--iters (" + iterations + ") must be positive");
        require(warmUps == null || warmUps >= 0, "--warmup-iters (" + warmUps + ") is negative");
        return new BenchPlan(
                operations(size),
                sizes.of(elements, hook ? hooks.words("SIZES") : List.of()),
                elements,
                kind,
                root,
                hook ? BenchPlan.Sides.AS_MPI : BenchPlan.Sides.BOTH,
                count,
                Duration.ofMillis(batch).toNanos(),
                or(iterations, 0),
                or(warmUps, -1),
                check == 1);
    }

    private List<Operation> operations(int size) {
        List<String> asked = hook ? hooks.words("OPS") : words;
        String valid = String.join(", ", Operation.words()) + ", or all";
        require(hook || !asked.isEmpty(), "which operation? " + valid);
        if (asked.isEmpty() || asked.contains("all")) {
            return Stream.of(Operation.values())
                    .filter(each -> size > 1 || each != Operation.PING_PONG)
                    .toList();
        }
        Set<Operation> operations = new LinkedHashSet<>();
        for (String word : asked) {
            operations.add(Operation.of(word)
                    .orElseThrow(
                            () -> new IllegalArgumentException("no operation '" + word + "'; there are " + valid)));
        }
        require(size > 1 || !operations.contains(Operation.PING_PONG), "send-receive is between two ranks, here is 1");
        return List.copyOf(operations);
    }

    private BenchBackend backend() {
        return BenchBackend.of(backend)
                .orElseThrow(() -> new IllegalArgumentException(
                        "no backend '" + backend + "'; there are " + String.join(", ", BenchBackend.words())));
    }

    private DataType dataType() {
        String name = switch (type.toLowerCase(Locale.ROOT)) {
            case "double", "float64" -> "f64";
            case "float", "float32" -> "f32";
            case "bfloat16" -> "bf16";
            case "half", "float16" -> "f16";
            case "int64" -> "i64";
            case "int32", "int" -> "i32";
            case "int8", "char" -> "i8";
            case "uint8" -> "u8";
            case "f8e4m3", "float8e4m3" -> "f8_e4m3";
            case "f8e5m2", "float8e5m2" -> "f8_e5m2";
            default -> type.toLowerCase(Locale.ROOT);
        };
        return Stream.of(DataType.values())
                .filter(each -> each.toString().equals(name))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException(
                        "no type '" + type + "'; there are " + List.of(DataType.values())));
    }

    private ReduceOp.Kind kind() {
        return switch (reduction.toLowerCase(Locale.ROOT)) {
            case "sum" -> ReduceOp.Kind.SUM;
            case "prod", "product" -> ReduceOp.Kind.PRODUCT;
            case "min" -> ReduceOp.Kind.MIN;
            case "max" -> ReduceOp.Kind.MAX;
            case "avg" -> ReduceOp.Kind.AVG;
            default ->
                throw new IllegalArgumentException(
                        "no reduction '" + reduction + "'; there are sum, prod, min, max, avg");
        };
    }

    private List<Place> places() {
        if (master != null || CommandSession.isSubmitted()) {
            require(places.isEmpty(), "--place is for ranks without Spark, --master for ranks in it");
            return List.of(Place.SPARK);
        }
        List<Place> chosen = new ArrayList<>();
        for (String word : places) {
            chosen.add(Place.of(word)
                    .orElseThrow(() -> new IllegalArgumentException(
                            "no place '" + word + "'; there are " + String.join(", ", Place.words()))));
        }
        return chosen.isEmpty() ? List.of(Place.THREADS) : chosen;
    }

    private Set<TransportKind> transports() {
        return transports.isEmpty()
                ? EnumSet.allOf(TransportKind.class)
                : transports.stream().map(TransportKind::parse).collect(Collectors.toSet());
    }

    private static void require(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(otherwise);
        }
    }

    private static int or(@Nullable Integer given, int otherwise) {
        return given != null ? given : otherwise;
    }
}
