package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.Tensor;

/** How many steps and positions the model is asked for: what continuous batching and shared beginnings save. */
@Timeout(120)
class BatchWorkTest {
    private static final int AT_ONCE = 32;

    /** A model that always puts out the same token, and counts what it is asked for. */
    private static final class Counting implements Generator.ForwardPass {
        private int steps;
        private long positions;

        @Override
        public void exchange(int outgoing, int incoming) {}

        @Override
        public Optional<Tensor> forward(int chunk, int[] ids, BatchLayout layout, int[] logitRows) {
            steps++;
            positions += ids.length;
            float[] logits = new float[logitRows.length * Fable.VOCABULARY];
            for (int row = 0; row < logitRows.length; row++) {
                logits[row * Fable.VOCABULARY + 5] = 1;
            }
            return Optional.of(Tensor.of(Buffer.ofFloats(logits), logitRows.length, Fable.VOCABULARY));
        }

        @Override
        public void close() {}
    }

    /** What is asked for when so many requests are begun together, and the next when all of those are done. */
    private static Counting work(List<Request> requests, int together, boolean sharing) {
        GeneratorOptions options =
                GeneratorOptions.of(512).withMaxSequences(AT_ONCE).withEnablePrefixCaching(sharing);
        Counting counting = new Counting();
        LocalReplicas.fable(1, 1, 1).onEveryRank((world, unused, backend) -> {
            Generator generator = new Generator(
                    Fable.config(),
                    counting,
                    world.state(),
                    world.communicators(),
                    backend.kernels(),
                    null,
                    options,
                    System::nanoTime);
            for (int from = 0; from < requests.size(); from += together) {
                generator.run(requests.subList(from, Math.min(requests.size(), from + together)));
            }
            return null;
        });
        return counting;
    }

    private static Request request(int id, int[] prompt, int outputs) {
        return new Request(
                id, prompt, SamplingParams.greedy().withMaxTokens(outputs).withIgnoreEos(true));
    }

    @Test
    void raggedOutputsTakeFewerStepsThanBatchesThatWaitForTheirLongest() {
        Random random = new Random(7);
        List<Request> rows = new ArrayList<>();
        for (int i = 0; i < 1000; i++) {
            int[] prompt =
                    random.ints(1 + random.nextInt(128), 0, Fable.VOCABULARY).toArray();
            rows.add(request(i, prompt, 1 + random.nextInt(64)));
        }
        Counting continuous = work(rows, rows.size(), false);
        Counting batches = work(rows, AT_ONCE, false);
        assertThat(continuous.positions).isEqualTo(batches.positions);
        System.out.println(continuous.steps + " steps; batch after batch " + batches.steps);
        assertThat(batches.steps).isGreaterThan(continuous.steps * 3 / 2);
    }

    @Test
    void aCommonBeginningIsComputedOnce() {
        Random random = new Random(7);
        int[] instruction = random.ints(400, 0, Fable.VOCABULARY).toArray();
        List<Request> rows = IntStream.range(0, 200)
                .mapToObj(i -> {
                    int[] prompt = Arrays.copyOf(instruction, 401 + random.nextInt(32));
                    for (int at = 400; at < prompt.length; at++) {
                        prompt[at] = random.nextInt(Fable.VOCABULARY);
                    }
                    return request(i, prompt, 1);
                })
                .toList();
        Counting shared = work(rows, rows.size(), true);
        Counting each = work(rows, rows.size(), false);
        int prompts = rows.stream().mapToInt(row -> row.prompt().length).sum();
        assertThat(each.positions).isEqualTo(prompts);
        System.out.println(shared.positions + " positions of prompts computed; without sharing " + prompts);
        assertThat(shared.positions).isLessThanOrEqualTo(prompts / 10);
    }
}
