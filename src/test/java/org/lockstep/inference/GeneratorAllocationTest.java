package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.World;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Tensor;

/** A rank allocates for a step, not for the tokens of it: twice as many sequences are no more bytes, on any rank. */
@Timeout(300)
class GeneratorAllocationTest {
    private static final int FEW = 8;
    private static final int MANY = 16;
    private static final int[] PROMPT = {259, 783, 784};
    private static final int OUTPUT = 500;

    /** Turns whose bytes are counted together: four blocks of each sequence. */
    private static final int WINDOW = 64;

    /** Until Java has compiled what runs; the window that counts is the best. */
    private static final int ROUNDS = 60;

    /** Of a turn, whose sequences are at least {@code (MANY - FEW) / 2} more: an object for each would be 64. */
    private static final long MORE = 40;

    private static final long MOST = 16 << 10;

    private static final GeneratorOptions OPTIONS =
            new GeneratorOptions(512, MANY, 512, 16, MANY * 32, DataType.F32, true);

    /** A model whose logits are always the same, and there already. */
    private static final class Ready implements Generator.ForwardPass {
        private final List<Optional<Tensor>> logits; // by rows

        Ready(boolean last) {
            Random random = new Random(3);
            float[] values = new float[MANY * Fable.VOCABULARY];
            for (int i = 0; i < values.length; i++) {
                values[i] = i % Fable.VOCABULARY == Fable.END ? Float.NEGATIVE_INFINITY : (float) random.nextGaussian();
            }
            Tensor all = Tensor.of(Buffer.ofFloats(values), MANY, Fable.VOCABULARY);
            this.logits = IntStream.rangeClosed(0, MANY)
                    .mapToObj(rows -> last ? Optional.of(all.rows(0, rows)) : Optional.<Tensor>empty())
                    .toList();
        }

        @Override
        public void exchange(int outgoing, int incoming) {}

        @Override
        public Optional<Tensor> forward(int chunk, int[] ids, BatchLayout layout, int[] logitRows) {
            return logits.get(logitRows.length);
        }

        @Override
        public void close() {}
    }

    /** Looks at its rank's thread after each turn, and listens to tokens as a recorder does. */
    private static final class Counting implements Generator.Listener {
        private final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        private final long thread = Thread.currentThread().getId();
        private final long[] bytes = new long[4 * OUTPUT];
        private int turns;
        private long waited;

        @Override
        public void onTurn(long start, long end) {
            bytes[turns++] = threads.getThreadAllocatedBytes(thread);
        }

        @Override
        public void onToken(long id, int position, int token, long nanos) {
            waited += nanos;
        }

        /** The least of a turn, over the windows of the run but for its beginning and end. */
        long leastOfATurn() {
            assertThat(waited).isNotNegative();
            long least = Long.MAX_VALUE;
            for (int at = WINDOW; at + 2 * WINDOW < turns; at += WINDOW) {
                least = Math.min(least, bytes[at + WINDOW] - bytes[at]);
            }
            return least / WINDOW;
        }
    }

    @ParameterizedTest(name = "tensor {0} × pipeline {1}, {2}")
    @CsvSource({
        "1,1,greedy",
        "2,1,greedy",
        "1,2,greedy",
        "2,2,greedy",
        "1,1,sampled",
        "2,1,sampled",
        "1,2,top-p of top-k",
        "2,2,top-p of top-k",
        "1,1,penalties and stop tokens",
        "2,2,penalties and stop tokens"
    })
    void noRankAllocatesByTheToken(int tensor, int pipeline, String way) {
        SamplingParams params = params(way);
        LocalReplicas.fable(tensor, pipeline, 1).onEveryRank((world, other, backend) -> {
            try (Tokenizer tokenizer = Fable.tokenizer();
                    Generator generator = new Generator(
                            Fable.config(),
                            new Ready(world.state().isPipelineLastStage()),
                            world.state(),
                            world.communicators(),
                            backend.kernels(),
                            tokenizer,
                            OPTIONS,
                            System::nanoTime)) {
                measure(world, generator, params);
            }
            return null;
        });
    }

    private static SamplingParams params(String way) {
        SamplingParams sampled = SamplingParams.DEFAULT.withSeed(5L).withMaxTokens(OUTPUT);
        return switch (way) {
            case "greedy" -> sampled.withTemperature(0);
            case "sampled" -> sampled;
            case "top-p of top-k" -> sampled.withTopP(0.9).withTopK(100).withMinP(0.001);
            default ->
                sampled.withRepetitionPenalty(1.1).withFrequencyPenalty(0.1).withStopTokenIds(List.of(Fable.END));
        };
    }

    private static void measure(World world, Generator generator, SamplingParams params) {
        long few = Long.MAX_VALUE;
        long many = Long.MAX_VALUE;
        HostBuffer over = Buffer.ofInts(1);
        for (int round = 0; round < ROUNDS && over.get(0) != 0; round++) {
            few = Math.min(few, leastOfATurn(generator, FEW, params));
            many = Math.min(many, leastOfATurn(generator, MANY, params));
            over.ints()[0] = many > few + MORE || many > MOST ? 1 : 0;
            world.communicators().model().allReduce(over, ReduceOp.MAX); // all go on, or none
        }
        assertThat(many)
                .as(
                        "bytes of a turn on rank %d, %d sequences; %d are %d",
                        world.state().rank(), MANY, FEW, few)
                .isLessThanOrEqualTo(few + MORE)
                .isLessThanOrEqualTo(MOST);
    }

    private static long leastOfATurn(Generator generator, int sequences, SamplingParams params) {
        List<Request> requests = generator.isSource()
                ? LongStream.range(0, sequences)
                        .mapToObj(id -> new Request(1000 + id, PROMPT, params))
                        .toList()
                : List.of();
        Counting counting = new Counting();
        generator.run(requests, counting);
        return counting.leastOfATurn();
    }
}
