package org.lockstep.spark;

import java.io.Serial;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import org.apache.spark.sql.Row;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.commit.CommittedRow;
import org.lockstep.inference.Completion;
import org.lockstep.inference.Generator;
import org.lockstep.inference.GeneratorOptions;
import org.lockstep.inference.PromptCheck;
import org.lockstep.inference.Request;
import org.lockstep.inference.RequestExchange;
import org.lockstep.inference.SamplingJson;
import org.lockstep.inference.SamplingParams;
import org.lockstep.inference.StepStats;
import org.lockstep.model.ModelConfig;
import org.lockstep.model.RankMemory;
import org.lockstep.spark.gang.Rank;
import org.lockstep.spark.gang.RankFunction;
import org.lockstep.spark.report.RankRecorder;
import org.lockstep.spark.report.RunCounters;
import org.lockstep.spark.rows.Answers;
import org.lockstep.spark.rows.IndexedRow;
import org.lockstep.spark.rows.KeptResults;
import org.lockstep.spark.rows.RowColumns;
import org.lockstep.spark.settings.Settings;

/**
 * What each rank does in a generation: load its shard, tokenise its rows, take its part in its replica, and put the
 * completions beside its rows. Rows stay home; only token ids and completions travel. The source rank of a replica commits
 * what the replica has completed, and each rank the errors of its own rows.
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
    private final RowColumns columns;
    private final Duration patience;
    private final KeptResults.Ticket ticket;
    private final boolean failOnRowError;
    private final RunCounters counters;

    GenerationTask(
            ModelSource source,
            ModelConfig config,
            Plan plan,
            GeneratorOptions options,
            SamplingParams params,
            RowColumns columns,
            Duration patience,
            KeptResults.Ticket ticket,
            boolean failOnRowError,
            RunCounters counters) {
        this.source = source;
        this.config = config;
        this.options = options;
        this.memory = plan.perRank().memory();
        this.bytesPerBlock =
                LlmLimits.bytesPerBlock(config, plan.grid().sizes(), options.blockSize(), options.cacheType());
        this.params = params;
        this.columns = columns;
        this.patience = patience;
        this.ticket = ticket;
        this.failOnRowError = failOnRowError;
        this.counters = counters;
    }

    @Override
    public Iterator<Row> apply(Rank rank, Iterator<IndexedRow> rows) {
        Optional<ModelShare> stayed = rank.kept().map(ModelShare.class::cast);
        long start = System.nanoTime();
        ModelShare share = stayed.orElseGet(() -> load(rank));
        long loaded = System.nanoTime();
        RankRecorder recorder =
                new RankRecorder(rank, Llm.KINDS, share.generator(), stayed.isPresent() ? 0 : loaded - start);
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
        ModelShare share = ModelShare.load(source, config, fitting, memory, rank, counters.bytesLoaded()::add);
        rank.keep(share, share::close);
        return share;
    }

    private List<Row> generate(Rank rank, ModelShare share, RankRecorder recorder, Iterator<IndexedRow> rows) {
        List<IndexedRow> home = new ArrayList<>();
        rows.forEachRemaining(home::add);
        KeptResults kept = KeptResults.open(ticket);
        try {
            Map<Long, CommittedRow> answers = Answers.kept(kept, home);
            RowRequests asking = new RowRequests(
                    new PromptCheck(share.tokenizer(), options.maxModelLength()), new SamplingJson(params), columns);
            Iterator<Request> requests = asking.of(
                    home.stream().filter(row -> !answers.containsKey(row.index())),
                    (row, error) -> answers.put(row.index(), refuse(row.index(), error, kept)));
            new RequestExchange(rank.communicators(), rank.state(), rank.kernels(), patience)
                    .run(
                            requests,
                            (source, done) -> share.generator().run(source, recorder.before(new Counting(done, kept))))
                    .forEach(completion -> answers.put(completion.id(), row(completion)));
            count(recorder, answers.values());
            kept.finish();
            return Answers.beside(home, answers);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw LockstepException.report(ErrorCode.ABORTED, "interrupted while its last rows were committed")
                    .cause(e)
                    .exception();
        } catch (RuntimeException | Error failure) {
            rank.communicators().abort(failure); // nobody is to wait for the disk
            kept.abandon();
            throw failure;
        }
    }

    /** The answer of a row that cannot be completed. */
    private CommittedRow refuse(long row, String error, KeptResults kept) {
        requireKept(row, error);
        CommittedRow failed = CommittedRow.failed(row, error);
        kept.keep(failed);
        counters.rowsDone().add(1L);
        return failed;
    }

    /** Ends the run where a row's error shall. */
    private void requireKept(long row, String error) {
        if (failOnRowError) {
            throw LockstepException.report(ErrorCode.ROW_FAILED, "row " + (row + 1) + ": " + error)
                    .attempt("--on-row-error keep answers the others (" + Settings.ROW_ERRORS.key() + ")")
                    .exception();
        }
    }

    private void count(RankRecorder recorder, Collection<CommittedRow> answers) {
        for (CommittedRow answer : answers) {
            if (answer.error() != null) {
                recorder.failed(answer.error());
                counters.rowsFailed().add(1L);
            }
        }
    }

    private static CommittedRow row(Completion completion) {
        String error = completion.error();
        return error != null
                ? CommittedRow.failed(completion.id(), error)
                : CommittedRow.completed(
                        completion.id(),
                        completion.text(),
                        completion.finishReason().toString(),
                        completion.promptTokens(),
                        completion.outputTokens());
    }

    /** Sends completions home, and tells the driver, through its accumulators, how far this replica is. */
    private final class Counting implements Generator.Listener {
        private final Consumer<Completion> home;
        private final KeptResults kept;

        Counting(Consumer<Completion> home, KeptResults kept) {
            this.home = home;
            this.kept = kept;
        }

        @Override
        public void onStep(StepStats stats) {
            counters.outputTokens().add(stats.outputTokens());
            counters.cachedTokens().add(stats.cachedTokens());
            counters.preemptions().add(stats.preemptions());
        }

        @Override
        public void onCompletion(Completion completion) {
            CommittedRow row = row(completion);
            if (row.error() != null) {
                requireKept(row.id(), row.error());
            }
            home.accept(completion.withoutTokens()); // the text is all that is read there
            kept.keep(row);
            counters.rowsDone().add(1L);
            counters.promptTokens().add(row.promptTokens());
        }
    }
}
