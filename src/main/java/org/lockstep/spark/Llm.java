package org.lockstep.spark;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Consumer;
import org.apache.spark.SparkContext;
import org.apache.spark.resource.ResourceProfile;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.inference.GeneratorOptions;
import org.lockstep.inference.SamplingParams;
import org.lockstep.model.ModelConfig;
import org.lockstep.model.StoredWeights;
import org.lockstep.spark.attempt.AttemptLoop;
import org.lockstep.spark.attempt.RunDirectory;
import org.lockstep.spark.attempt.RunPolicy;
import org.lockstep.spark.attempt.UnfinishedRunException;
import org.lockstep.spark.device.BackendFactory;
import org.lockstep.spark.device.RankDevice;
import org.lockstep.spark.gang.ExpectedPlaces;
import org.lockstep.spark.gang.Residence;
import org.lockstep.spark.preflight.ClusterPreflight;
import org.lockstep.spark.preflight.TaskRequest;
import org.lockstep.spark.report.Progress;
import org.lockstep.spark.rows.AnswerSchema;
import org.lockstep.spark.rows.EvenRows;
import org.lockstep.spark.rows.RowColumns;
import org.lockstep.spark.settings.DeviceChoice;
import org.lockstep.spark.settings.Settings;
import org.lockstep.tensor.WeightType;
import org.lockstep.topology.GroupKind;
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
    private final FoundModel found;
    private final ModelConfig config;
    private final LlmLayout layout;
    private final LlmLimits limits;
    private final LlmDevice device;
    private final RunPolicy policy;
    private final LlmRows rows;

    private Llm(
            SparkSession spark,
            FoundModel found,
            ModelConfig config,
            LlmLayout layout,
            LlmLimits limits,
            LlmDevice device,
            RunPolicy policy,
            LlmRows rows) {
        this.spark = spark;
        this.found = found;
        this.config = config;
        this.layout = layout;
        this.limits = limits;
        this.device = device;
        this.policy = policy;
        this.rows = rows;
    }

    /**
     * The model in a Hugging Face directory that the driver and all executors see under this path.
     *
     * @throws LockstepException MODEL_NOT_FOUND, CONFIG_INVALID, MODEL_UNSUPPORTED, CHECKPOINT_INVALID or
     *     TOKENIZER_INVALID: its settings, its tokenizer, the headers of its weights and a few of these are read here
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
            StoredWeights stored = ModelCheck.of(files, config);
            return new Llm(
                    spark,
                    FoundModel.of(source, files, stored, new Residence(context)),
                    config,
                    LlmLayout.NONE,
                    LlmLimits.NONE,
                    LlmDevice.NONE,
                    RunPolicy.NONE,
                    LlmRows.ofPrompts());
        }
    }

    /** Ranks that share each layer. Must divide the model's heads. */
    public Llm tensorParallel(int size) {
        return with(layout.withSizes(layout.sizes().withTensor(size)));
    }

    /** Pipeline stages that the layers are cut into; at most as many as layers. */
    public Llm pipelineParallel(int size) {
        return with(layout.withSizes(layout.sizes().withPipeline(size)));
    }

    /** Chunks of layers of each pipeline stage, which a step passes in turn: a smaller bubble for more messages. */
    public Llm virtualPipelineParallel(int chunks) {
        return with(layout.withSizes(layout.sizes().withVirtualPipeline(chunks)));
    }

    /** Replicas; by default as many as there are slots for. */
    public Llm dataParallel(int replicas) {
        return with(layout.withSizes(layout.sizes().withData(replicas)));
    }

    private Llm with(LlmLayout changed) {
        return new Llm(spark, found, config, changed, limits, device, policy, rows);
    }

    /** The world size, where replicas are not set. */
    public Llm ranks(int worldSize) {
        return with(layout.withRanks(worldSize));
    }

    /** How to hold the weights: f32, bf16, f16, or quantised to 8 bits as they are read; by default as they are stored. */
    public Llm weightType(WeightType type) {
        return new Llm(spark, found, config.withWeightType(type), layout, limits, device, policy, rows);
    }

    /** The order of the axes, innermost first. */
    public Llm order(RankOrder changed) {
        return with(layout.withOrder(changed));
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

    /** Whether the kernels of each step are launched one by one, and none is replayed as a CUDA graph. */
    public Llm enforceEager(boolean eager) {
        return with(device.withEnforceEager(eager));
    }

    /** Part of a GPU's memory that its ranks take at most, above 0 and at most 1. */
    public Llm gpuMemoryUtilization(double part) {
        return with(device.withMemoryUtilization(part));
    }

    /** What the ranks' tasks ask for, where it is not what all tasks do; a profile that asks for executors is refused. */
    public Llm withResources(ResourceProfile profile) {
        return with(device.withResources(profile));
    }

    /** Backends of another make, for ranks whose network is not what they think. */
    Llm backend(BackendFactory factory) {
        return with(device.withBackend(factory));
    }

    private Llm with(LlmDevice changed) {
        return new Llm(spark, found, config, layout, limits, changed, policy, rows);
    }

    private Llm with(LlmLimits changed) {
        return new Llm(spark, found, config, layout, changed, device, policy, rows);
    }

    /** How often a run is tried in all, where executors or peers are lost; by default three times. */
    public Llm attempts(int most) {
        return with(policy.withAttempts(most));
    }

    /**
     * Where finished rows are kept while a run is not over, on any file system that Hadoop knows and all executors share. One
     * run at a time; what an unfinished one left there is gone on with by {@link #resume}, and refused without it.
     */
    public Llm checkpointDir(String directory) {
        return with(policy.withCheckpointDir(directory));
    }

    /** Whether to go on with the unfinished run in the checkpoint directory; another one's is refused. */
    public Llm resume(boolean on) {
        return with(policy.withResume(on));
    }

    /** Whether the first row that cannot be answered ends the run; by default it has its error, and the others go on. */
    public Llm failOnRowError(boolean on) {
        return with(policy.withFailOnRowError(on));
    }

    private Llm with(RunPolicy changed) {
        return new Llm(spark, found, config, layout, limits, device, changed, rows);
    }

    /** Calls {@code consumer} when an attempt begins, as executors report, on a thread of Spark's, and when it ends. */
    public Llm onProgress(Consumer<Progress> consumer) {
        return with(rows.withProgress(consumer));
    }

    /**
     * A column in which rows say how they are sampled, where that is not as the call says: a struct, or a JSON object in a string,
     * of vLLM's names ({@code temperature}, {@code max_tokens}, …); null leaves the call's. What cannot be is that row's error.
     */
    public Llm samplingColumn(String column) {
        return with(rows.withSamplingColumn(column));
    }

    private Llm with(LlmRows changed) {
        return new Llm(spark, found, config, layout, limits, device, policy, changed);
    }

    /**
     * The machine this would run on, before anything is launched. Checks everything that {@code generate} checks.
     */
    public Plan plan() {
        return plan(ClusterPreflight.context(spark));
    }

    /** Of one attempt: what the session was set to since the run began is the next run's, and refused there. */
    private Plan plan(SparkContext context) {
        TaskRequest tasks = device.tasks(context);
        int world = ClusterPreflight.check(context, tasks, layout.sizes(), layout.ranks());
        ProcessGrid grid = ProcessGrid.of(world, layout.sizes(), layout.order());
        config.checkSplit(grid.sizes().tp(), grid.sizes().pp(), grid.sizes().chunks());
        RankDevice where = device.resolve(context, world);
        CacheFit fit = new CacheFit(
                config, found.stored().type(), grid.sizes(), where, PerRank.room(context, tasks, world, where));
        GeneratorOptions options = fit.resolve(limits, context.getConf());
        String transports = ExpectedPlaces.of(context, tasks, grid).lines(KINDS);
        PerRank perRank = PerRank.of(context, tasks, world, where, fit.memory(options));
        return new Plan(found.source().toString(), config, grid, options, context.master(), perRank, transports);
    }

    /**
     * The rows, in order, with their own columns and {@link #OUTPUT_COLUMNS}: the completion of each row's prompt
     * without the prompt, or an error in the row, which harms no other.
     *
     * <p>Eager: the run happens in this call, and its results stay with the executors that made them. Where an executor or a
     * peer is lost, another attempt does the rows that are not done. Parameters without a seed get one that is drawn for the
     * run, and kept with its rows: it is the same in every attempt and after {@link #resume}, and the report names it.
     *
     * @param promptColumn a column of strings
     * @throws LockstepException for what cannot run, before anything is launched; or the first cause of a failed gang;
     *     {@link UnfinishedRunException} if rows are kept for another run; CANCELLED if somebody ended it
     */
    public Dataset<Row> generate(Dataset<Row> rows, String promptColumn, SamplingParams params) {
        Generation run = run(rows, promptColumn, params);
        if (policy.resolve(spark.sparkContext().getConf()).checkpointDir().isEmpty()) {
            run.letGo(); // nobody knows of that directory
        }
        return run.rows();
    }

    /** {@link #generate(Dataset, String, SamplingParams)} as a step of a chain: {@code rows.transform(llm.on("prompt", params))}. */
    public LlmTransformer on(String promptColumn, SamplingParams params) {
        return new LlmTransformer(this, promptColumn, params);
    }

    /**
     * The completions of a few prompts, in order, for notebooks.
     *
     * @throws LockstepException also for a prompt that cannot be answered, naming it
     */
    public List<String> generate(List<String> prompts, SamplingParams params) {
        StructType schema = new StructType().add("prompt", DataTypes.StringType);
        List<Row> rows = prompts.stream().map(RowFactory::create).toList();
        List<String> texts = new ArrayList<>();
        for (Row row : with(this.rows.withoutSamplingColumn())
                .generate(spark.createDataFrame(rows, schema), "prompt", params)
                .collectAsList()) {
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

    /**
     * As {@link #generate(Dataset, String, SamplingParams)}, with a report of how it went. The rows that were committed are
     * kept until {@link Generation#discard}.
     */
    public Generation run(Dataset<Row> input, String promptColumn, SamplingParams params) {
        long start = System.nanoTime();
        Objects.requireNonNull(params, "the sampling parameters are null; SamplingParams.DEFAULT has vLLM's");
        RowColumns columns = rows.columns(input.schema(), promptColumn);
        StructType schema = AnswerSchema.of(spark, input.schema());
        SparkContext context = ClusterPreflight.context(spark);
        RunPolicy resolved = policy.resolve(context.getConf());
        Plan plan = plan(context);
        try (JobLabel label = JobLabel.begin(context, "what executors see of the model")) {
            found.look().check(context, device.tasks(context), plan.grid());
            label.describe("read the rows to generate from");
            try (EvenRows even = EvenRows.of(input.javaRDD(), columns)) {
                if (even.count() == 0) {
                    return Generation.ofNothing(spark, schema, plan, start);
                }
                Launch launch = new Launch(
                        new Launch.Model(found, config, layout.order(), device),
                        new Launch.Input(
                                even, columns, params, resolved.failOnRowError().orElseThrow()),
                        () -> plan(context),
                        label,
                        rows.progress(),
                        start);
                AttemptLoop.Outcome<Launch.Result> run = new AttemptLoop(
                                context, resolved, RunDirectory.of(context, resolved.checkpointDir()), even.count())
                        .run(launch.identity(plan, promptColumn, rows.samplingColumn()), launch);
                return new Generation(
                        spark.createDataFrame(run.result().answers(), schema),
                        run.result().plan(),
                        run.result().report().get(),
                        Optional.of(run.kept()));
            }
        }
    }

    /** The columns of the answers to rows of {@code schema}. */
    StructType answerSchema(StructType schema, String promptColumn) {
        rows.columns(schema, promptColumn);
        return AnswerSchema.of(spark, schema);
    }

    /** Gives back what stays in the executors, now or when the run that uses it is over. Idempotent; runs may follow. */
    @Override
    public void close() {
        found.residence().close();
    }

    @Override
    public String toString() {
        return found.source() + ", " + layout;
    }
}
