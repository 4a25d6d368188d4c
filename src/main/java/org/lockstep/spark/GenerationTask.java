package org.lockstep.spark;

import java.io.Serial;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.lockstep.inference.Completion;
import org.lockstep.inference.Generator;
import org.lockstep.inference.GeneratorOptions;
import org.lockstep.inference.PromptCheck;
import org.lockstep.inference.Request;
import org.lockstep.inference.RequestExchange;
import org.lockstep.inference.SamplingParams;
import org.lockstep.inference.StepStats;
import org.lockstep.model.ModelConfig;
import org.lockstep.model.RankMemory;

/**
 * What each rank does in a generation: load its shard, tokenise its rows, take its part in its replica, and put the
 * completions beside its rows. Rows stay home; only token ids and completions travel.
 */
final class GenerationTask implements RankFunction<IndexedRow, Row> {
    @Serial
    private static final long serialVersionUID = 1;

    private final ModelSource source;
    private final ModelConfig config;
    private final GeneratorOptions options;
    private final RankMemory memory;
    private final long bytesPerBlock;
    private final SamplingParams params;
    private final int promptColumn;
    private final Duration patience;
    private final RunCounters counters;

    GenerationTask(
            ModelSource source,
            ModelConfig config,
            Plan plan,
            SamplingParams params,
            int promptColumn,
            Duration patience,
            RunCounters counters) {
        this.source = source;
        this.config = config;
        this.options = plan.options();
        this.memory = plan.perRank().memory();
        this.bytesPerBlock = LlmLimits.bytesPerBlock(config, plan.grid().sizes(), options.blockSize());
        this.params = params;
        this.promptColumn = promptColumn;
        this.patience = patience;
        this.counters = counters;
    }

    @Override
    public Iterator<Row> apply(Rank rank, Iterator<IndexedRow> rows) {
        Optional<ModelShare> stayed = rank.kept().map(ModelShare.class::cast);
        long start = System.nanoTime();
        ModelShare share = stayed.orElseGet(() -> load(rank));
        long loaded = System.nanoTime();
        RankRecorder recorder = new RankRecorder(rank, share.generator(), stayed.isPresent() ? 0 : loaded - start);
        List<Row> answers = generate(rank, share, recorder, rows);
        counters.reports().add(recorder.report());
        return answers.iterator();
    }

    private ModelShare load(Rank rank) {
        GeneratorOptions fitting = CacheFit.agree(
                options,
                memory,
                bytesPerBlock,
                rank.kernels(),
                rank.communicators().world());
        ModelShare share = ModelShare.load(source, config, fitting, rank, counters.bytesLoaded()::add);
        rank.keep(share, share::close);
        return share;
    }

    private List<Row> generate(Rank rank, ModelShare share, RankRecorder recorder, Iterator<IndexedRow> rows) {
        PromptCheck check = new PromptCheck(share.tokenizer(), options.maxModelLength());
        List<IndexedRow> home = new ArrayList<>();
        List<Request> requests = new ArrayList<>();
        Map<Long, String> errors = new HashMap<>();
        while (rows.hasNext()) {
            IndexedRow row = rows.next();
            home.add(row);
            PromptCheck.Result prompt = check.check(row.row().getString(promptColumn));
            if (prompt.error() == null) {
                requests.add(new Request(row.index(), prompt.ids(), params));
            } else {
                errors.put(row.index(), prompt.error());
                recorder.failed(prompt.error());
            }
        }
        counters.rowsFailed().add(errors.size());
        counters.rowsDone().add(errors.size());

        Map<Long, Completion> completions = new HashMap<>();
        new RequestExchange(rank.communicators(), rank.state(), rank.kernels(), patience)
                .run(requests, (source, done) -> share.generator().run(source, recorder.before(new Counting(done))))
                .forEach(completion -> completions.put(completion.id(), completion));
        return home.stream().map(row -> answer(row, completions, errors)).toList();
    }

    /** The row's own columns, then the five of {@link Llm#OUTPUT_COLUMNS}. */
    private static Row answer(IndexedRow row, Map<Long, Completion> completions, Map<Long, String> errors) {
        Row input = row.row();
        int width = input.size();
        Object[] values = new Object[width + Llm.OUTPUT_COLUMNS.size()];
        for (int i = 0; i < width; i++) {
            values[i] = input.get(i);
        }
        Optional<Completion> completion = Optional.ofNullable(completions.get(row.index()));
        values[width] = completion.map(Completion::text).orElse(null);
        values[width + 1] = completion.map(c -> c.finishReason().toString()).orElse(null);
        values[width + 2] = completion.map(Completion::promptTokens).orElse(null);
        values[width + 3] = completion.map(Completion::outputTokens).orElse(null);
        values[width + 4] = errors.get(row.index());
        return RowFactory.create(values);
    }

    /** Sends completions home, and tells the driver, through its accumulators, how far this replica is. */
    private final class Counting implements Generator.Listener {
        private final Consumer<Completion> home;

        Counting(Consumer<Completion> home) {
            this.home = home;
        }

        @Override
        public void onStep(StepStats stats) {
            counters.outputTokens().add(stats.outputTokens());
            counters.cachedTokens().add(stats.cachedTokens());
            counters.preemptions().add(stats.preemptions());
        }

        @Override
        public void onCompletion(Completion completion) {
            home.accept(completion);
            counters.rowsDone().add(1L);
            counters.promptTokens().add(completion.promptTokens());
        }
    }
}
