package org.lockstep.cli.bench.inference;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.Iterator;
import java.util.List;
import java.util.stream.IntStream;
import org.lockstep.cli.bench.inference.RaggedRows.Row;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.World;
import org.lockstep.inference.Completion;
import org.lockstep.inference.Generator;
import org.lockstep.inference.GeneratorOptions;
import org.lockstep.inference.PromptCheck;
import org.lockstep.inference.Request;
import org.lockstep.inference.RequestExchange;
import org.lockstep.inference.SamplingParams;
import org.lockstep.inference.Tokenizer;
import org.lockstep.tensor.Kernels;

/**
 * Completes rows by the engine alone, which has them in equal parts on its ranks as a job has, and pulls them as a job does.
 * Immutable.
 *
 * @param replicas that do it
 * @param model in files
 * @param limits of each replica
 */
public record EngineRows(ThreadReplicas replicas, BenchModel model, GeneratorOptions limits) {

    /**
     * What became of the rows.
     *
     * @param nanos from a moment at which all ranks have the model to the last row's text
     * @param texts in the order of the rows
     */
    public record Outcome(double nanos, List<String> texts) {
        public Outcome {
            texts = List.copyOf(texts);
        }
    }

    private record Part(double nanos, List<Completion> completions) {}

    /**
     * Loads the model, completes the rows, and gives it back.
     *
     * @param together so many are begun when all of those before are done
     */
    public Outcome complete(List<Row> rows, int together) {
        List<Part> parts = replicas.onEveryRank((world, kernels) -> load(world, kernels, rows, together));
        double nanos = parts.stream().mapToDouble(Part::nanos).max().orElseThrow();
        List<String> texts = parts.stream()
                .flatMap(part -> part.completions.stream())
                .sorted(Comparator.comparingLong(Completion::id))
                .map(Completion::text)
                .toList();
        return new Outcome(nanos, texts);
    }

    private Part load(World world, Kernels kernels, List<Row> rows, int together) {
        GeneratorOptions options =
                limits.withCacheType(model.held().cacheOn(kernels.device().kind()));
        try (Tokenizer tokenizer = model.tokenizer();
                Generator generator = model.read(weights -> Generator.load(
                        model.config(), weights, world.state(), world.communicators(), kernels, tokenizer, options))) {
            RequestExchange exchange =
                    new RequestExchange(world.communicators(), world.state(), kernels, replicas.limit());
            PromptCheck prompts = new PromptCheck(tokenizer, limits.maxModelLength());
            world.communicators().world().barrier();
            long start = System.nanoTime();
            List<Completion> done = new ArrayList<>();
            for (int from = 0; from < rows.size(); from += together) {
                int end = Math.min(rows.size(), from + together);
                done.addAll(exchange.run(
                        home(world, prompts, rows, from, end),
                        (source, completed) -> generator.run(source, new Generator.Listener() {
                            @Override
                            public void onCompletion(Completion completion) {
                                completed.accept(completion.withoutTokens());
                            }
                        })));
            }
            return new Part((double) (System.nanoTime() - start), done);
        }
    }

    /** This rank's part of the rows {@code from} to {@code end}. */
    private static Iterator<Request> home(World world, PromptCheck prompts, List<Row> rows, int from, int end) {
        int rank = world.state().rank();
        Blocks parts = Blocks.shares(world.communicators().world().size(), end - from);
        int first = from + (int) parts.from(rank);
        return IntStream.range(first, first + (int) parts.count(rank))
                .mapToObj(i -> request(i, rows.get(i), prompts))
                .iterator();
    }

    private static Request request(int number, Row row, PromptCheck prompts) {
        PromptCheck.Result prompt = prompts.check(row.prompt());
        if (prompt.error() != null) {
            throw new IllegalArgumentException("row " + number + ": " + prompt.error());
        }
        return new Request(number, prompt.ids(), params().withMaxTokens(row.outputTokens()));
    }

    /** How rows are sampled, but for how much is put out. */
    public static SamplingParams params() {
        return SamplingParams.greedy().withIgnoreEos(true);
    }

    /** The limits of replicas that do such rows: none finds what an earlier repetition has computed. */
    public static GeneratorOptions limits(RaggedRows rows) {
        return GeneratorOptions.of(rows.positions())
                .withMaxSequences(rows.atOnce())
                .withEnablePrefixCaching(false);
    }
}
