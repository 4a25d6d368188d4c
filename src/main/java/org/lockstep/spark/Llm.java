package org.lockstep.spark;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalInt;
import java.util.function.Consumer;
import org.apache.spark.SparkContext;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.apache.spark.storage.StorageLevel;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.Checkpoint;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.inference.GeneratorOptions;
import org.lockstep.inference.SamplingParams;
import org.lockstep.inference.Tokenizer;
import org.lockstep.model.ModelConfig;
import org.lockstep.model.ModelTensors;
import org.lockstep.model.StoredWeights;
import org.lockstep.tensor.WeightType;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.ProcessGrid;
import org.lockstep.topology.RankOrder;

/**
 * A model too large for one device, and how to spread it over a Spark cluster.
 *
 * <pre>{@code
 * Llm llm = Llm.load(spark, "/models/Llama-3.1-8B").tensorParallel(4).pipelineParallel(2);   // replicas = slots / 8
 * System.out.println(llm.plan());
 * Dataset<Row> answers = llm.generate(questions, "prompt", SamplingParams.greedy().withMaxTokens(128));
 * }</pre>
 *
 * <p>An immutable description: each method but {@code generate} and {@code run} returns another, and nothing is launched
 * before those. Thread-safe. What cannot run is refused on the driver, as a {@link LockstepException} with the numbers.
 *
 * <p>After a run the loaded shards and connected groups stay in the executors, for the next run with the same sizes, limits
 * and weights of this description or of another that comes from the same {@code load}: it starts at once. They end with
 * {@link #close}, when another layout or another model runs, when a run fails, and after
 * {@code spark.lockstep.resident.idle}. Of two runs at once the second does not share: it loads for itself, and nothing of
 * it stays.
 */
public final class Llm implements AutoCloseable {
    /** The columns that {@code generate} adds, in this order, after the input's own. */
    public static final List<String> OUTPUT_COLUMNS = AnswerSchema.COLUMNS;

    /** The groups that a generation uses. */
    static final List<GroupKind> KINDS =
            List.of(GroupKind.TENSOR, GroupKind.PIPELINE, GroupKind.MODEL, GroupKind.WORLD);

    /** The folder of the class path with the model that comes with Lockstep. */
    public static final String BUNDLED = "/org/lockstep/models/fable";

    private final SparkSession spark;
    private final Found found;
    private final ModelConfig config;
    private final ParallelSizes sizes;
    private final RankOrder order;
    private final OptionalInt ranks;
    private final LlmLimits limits;
    private final LlmDevice device;
    private final Consumer<Progress> progress;

    /** What {@code load} found, the same for all descriptions that come from it. */
    private record Found(ModelSource source, StoredWeights stored, Residence residence) {}

    private Llm(
            SparkSession spark,
            Found found,
            ModelConfig config,
            ParallelSizes sizes,
            RankOrder order,
            OptionalInt ranks,
            LlmLimits limits,
            LlmDevice device,
            Consumer<Progress> progress) {
        this.spark = spark;
        this.found = found;
        this.config = config;
        this.sizes = sizes;
        this.order = order;
        this.ranks = ranks;
        this.limits = limits;
        this.device = device;
        this.progress = progress;
    }

    /**
     * The model in a Hugging Face directory that the driver and all executors see under this path.
     *
     * @throws LockstepException MODEL_NOT_FOUND, CONFIG_INVALID, MODEL_UNSUPPORTED, CHECKPOINT_INVALID or
     *     TOKENIZER_INVALID: its settings, the headers of its weights and its tokenizer are read here, no weight is
     */
    public static Llm load(SparkSession spark, String directory) {
        return load(spark, ModelSource.directory(directory));
    }

    /** The small model that comes with Lockstep, for a first run without any download. */
    public static Llm bundled(SparkSession spark) {
        return load(spark, ModelSource.FABLE);
    }

    private static Llm load(SparkSession spark, ModelSource source) {
        SparkContext context = ClusterPreflight.context(spark);
        Settings.check(context.getConf());
        try (ModelFiles files = source.open()) {
            ModelConfig config = ModelConfig.read(files);
            StoredWeights stored = check(files, config);
            return new Llm(
                    spark,
                    new Found(source, stored, new Residence(context)),
                    config,
                    ParallelSizes.tensor(1),
                    RankOrder.DEFAULT,
                    OptionalInt.empty(),
                    LlmLimits.NONE,
                    LlmDevice.NONE,
                    done -> {});
        }
    }

    /**
     * Checks a model's files against its settings, with or without Spark: the headers of the weights and the tokenizer are
     * read, no weight is.
     *
     * @return what its files hold
     * @throws LockstepException CHECKPOINT_INVALID or TOKENIZER_INVALID
     */
    public static StoredWeights check(ModelFiles files, ModelConfig config) {
        StoredWeights stored;
        try (Checkpoint checkpoint = Checkpoint.open(files)) {
            stored = ModelTensors.check(config, checkpoint);
        }
        Tokenizer.load(files, config.vocabularySize()).close();
        return stored;
    }

    /** Ranks that share each layer. Must divide the model's heads. */
    public Llm tensorParallel(int size) {
        return with(sizes.withTensor(size));
    }

    /** Pipeline stages that the layers are cut into; at most as many as layers. */
    public Llm pipelineParallel(int size) {
        return with(sizes.withPipeline(size));
    }

    /** Chunks of layers of each pipeline stage, which a step passes in turn: a smaller bubble for more messages. */
    public Llm virtualPipelineParallel(int chunks) {
        return with(sizes.withVirtualPipeline(chunks));
    }

    /** Replicas; by default as many as there are slots for. */
    public Llm dataParallel(int replicas) {
        return with(sizes.withData(replicas));
    }

    private Llm with(ParallelSizes changed) {
        return new Llm(spark, found, config, changed, order, ranks, limits, device, progress);
    }

    /** The world size, where replicas are not set. */
    public Llm ranks(int worldSize) {
        return new Llm(spark, found, config, sizes, order, OptionalInt.of(worldSize), limits, device, progress);
    }

    /** How to hold the weights: f32, bf16, f16, or quantised to 8 bits as they are read; by default as they are stored. */
    public Llm weightType(WeightType type) {
        return new Llm(spark, found, config.withWeightType(type), sizes, order, ranks, limits, device, progress);
    }

    /** The order of the axes, innermost first. */
    public Llm order(RankOrder changed) {
        return new Llm(spark, found, config, sizes, changed, ranks, limits, device, progress);
    }

    /** Positions that a prompt and its completion may fill together; by default the model's own limit. */
    public Llm maxModelLength(int positions) {
        return with(limits.withMaxModelLength(positions));
    }

    /** Rows that a replica generates together at most. */
    public Llm maxSequences(int rows) {
        return with(limits.withMaxSequences(rows));
    }

    /** Positions that a step computes at most, over all its rows. */
    public Llm maxStepLength(int positions) {
        return with(limits.withMaxStepLength(positions));
    }

    /** Positions in a block of the key/value cache. */
    public Llm blockSize(int positions) {
        return with(limits.withBlockSize(positions));
    }

    /** Whether prompts that begin alike share the cache's blocks of that beginning; by default they do. */
    public Llm prefixCaching(boolean on) {
        return with(limits.withPrefixCaching(on));
    }

    /** What ranks compute on; by default GPUs where there are some. */
    public Llm device(DeviceChoice choice) {
        return with(device.withChoice(choice));
    }

    /** Part of a GPU's memory that its ranks take at most, above 0 and at most 1. */
    public Llm gpuMemoryUtilization(double part) {
        return with(device.withMemoryUtilization(part));
    }

    private Llm with(LlmDevice changed) {
        return new Llm(spark, found, config, sizes, order, ranks, limits, changed, progress);
    }

    private Llm with(LlmLimits changed) {
        return new Llm(spark, found, config, sizes, order, ranks, changed, device, progress);
    }

    /** Calls {@code consumer} now and then while {@code generate} runs, on a thread of Spark's. */
    public Llm onProgress(Consumer<Progress> consumer) {
        return new Llm(spark, found, config, sizes, order, ranks, limits, device, consumer);
    }

    /**
     * The machine this would run on, before anything is launched. Checks everything that {@code generate} checks.
     */
    public Plan plan() {
        SparkContext context = ClusterPreflight.context(spark);
        int world = ClusterPreflight.check(context, sizes, ranks);
        ProcessGrid grid = ProcessGrid.of(world, sizes, order);
        config.checkSplit(grid.sizes().tp(), grid.sizes().pp(), grid.sizes().chunks());
        RankDevice where = device.resolve(context, world);
        CacheFit fit = new CacheFit(config, found.stored().type(), grid.sizes(), where);
        GeneratorOptions options = fit.resolve(limits, context.getConf());
        String transports = ExpectedPlaces.of(context, grid).lines(KINDS);
        PerRank perRank = PerRank.of(context, world, where, fit.memory(options));
        return new Plan(found.source().toString(), config, grid, options, context.master(), perRank, transports);
    }

    /**
     * The rows, in order, with their own columns and {@link #OUTPUT_COLUMNS}: the completion of each row's prompt
     * without the prompt, or an error in the row, which harms no other.
     *
     * <p>Eager: the run happens in this call, and its results stay with the executors that made them.
     *
     * @param promptColumn a column of strings
     * @throws LockstepException for what cannot run, before anything is launched; or the first cause of a failed gang
     */
    public Dataset<Row> generate(Dataset<Row> rows, String promptColumn, SamplingParams params) {
        return run(rows, promptColumn, params).rows();
    }

    /**
     * The completions of a few prompts, in order, for notebooks.
     *
     * @throws LockstepException also for a prompt that cannot be answered, naming it
     */
    public List<String> generate(List<String> prompts, SamplingParams params) {
        StructType schema = new StructType().add("prompt", DataTypes.StringType);
        List<Row> rows = new ArrayList<>();
        prompts.forEach(prompt -> rows.add(RowFactory.create(prompt)));
        List<String> texts = new ArrayList<>();
        for (Row row :
                generate(spark.createDataFrame(rows, schema), "prompt", params).collectAsList()) {
            String error = row.getAs("error");
            if (error != null) {
                throw LockstepException.report(ErrorCode.TEXT_INVALID, "prompt " + texts.size() + ": " + error)
                        .attempt("generate over a Dataset reports such rows and answers the others")
                        .exception();
            }
            texts.add(row.getAs("text"));
        }
        return texts;
    }

    /** As {@link #generate(Dataset, String, SamplingParams)}, with a report of how it went. */
    public Generation run(Dataset<Row> rows, String promptColumn, SamplingParams params) {
        long start = System.nanoTime();
        StructType schema = AnswerSchema.of(rows.schema(), promptColumn);
        Plan plan = plan();
        int world = plan.grid().worldSize();
        try (Residence.Stay stay = found.residence().enter(layout(plan));
                GangWatch watch = GangWatch.begin(spark.sparkContext());
                EvenRows even = EvenRows.of(rows.javaRDD(), world)) {
            RunCounters counters = RunCounters.register(spark.sparkContext());
            JavaRDD<Row> answers = even.count() == 0
                    ? JavaSparkContext.fromSparkContext(spark.sparkContext()).emptyRDD()
                    : launch(plan, stay, watch, even, rows.schema().fieldIndex(promptColumn), params, counters, start);
            RunReport report = new RunReport(
                    even.count(),
                    counters.rowsFailed().value(),
                    counters.promptTokens().value(),
                    counters.cachedTokens().value(),
                    counters.outputTokens().value(),
                    counters.preemptions().value(),
                    Duration.ofNanos(System.nanoTime() - start),
                    plan.grid().sizes(),
                    plan.perRank().each(),
                    counters.reports().value());
            return new Generation(spark.createDataFrame(answers, schema), plan, report);
        }
    }

    /** What a rank that stays must have in common with one that is wanted; the rest is the application's. */
    private String layout(Plan plan) {
        return String.join(
                "\n",
                config.toString(),
                plan.grid().sizes() + " " + order,
                plan.perRank().device().cuda().toString(),
                plan.options().toString());
    }

    /** Gives back what stays in the executors, now or when the run that uses it is over. Idempotent; runs may follow. */
    @Override
    public void close() {
        found.residence().close();
    }

    private JavaRDD<Row> launch(
            Plan plan,
            Residence.Stay stay,
            GangWatch watch,
            EvenRows even,
            int promptColumn,
            SamplingParams params,
            RunCounters counters,
            long start) {
        SparkContext context = spark.sparkContext();
        GenerationTask task = new GenerationTask(
                found.source(),
                config,
                plan,
                params,
                promptColumn,
                Settings.RUN_TIMEOUT.in(context.getConf()),
                counters);
        JavaRDD<Row> answers = BarrierStage.over(even.rows())
                .with(plan.grid().sizes())
                .with(order)
                .on(plan.perRank().device().factory(context))
                .staying(stay)
                .watchedBy(watch)
                .connecting(KINDS.get(0), KINDS.toArray(GroupKind[]::new))
                .agreeingOn(Map.of(
                        "model", config.toString(), "options", plan.options().toString()))
                .mapRanks(task)
                .persist(StorageLevel.MEMORY_AND_DISK());
        long toLoad = found.stored().bytes() * plan.grid().sizes().dp(); // each replica reads all of it
        ProgressListener listener = new ProgressListener(counters, even.count(), toLoad, start, progress);
        context.addSparkListener(listener);
        String before = context.getLocalProperty("spark.job.description");
        context.setJobDescription(String.format(
                Locale.ROOT,
                "Lockstep: generate %,d rows, %s",
                even.count(),
                plan.grid().sizes()));
        try {
            answers.count();
            return KeptRows.of(answers);
        } catch (Exception e) {
            answers.unpersist(false);
            stay.fail();
            throw watch.report(e).exception();
        } finally {
            context.setJobDescription(before);
            context.removeSparkListener(listener);
        }
    }
}
