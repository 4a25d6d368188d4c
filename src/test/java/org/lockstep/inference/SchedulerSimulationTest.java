package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.tensor.DataType;

/**
 * Random loads through the scheduler, followed by a model of the ranks and of their cache: for every position that is read,
 * the cache must hold that very token behind that very beginning.
 */
class SchedulerSimulationTest {
    /** A request, how much it puts out, and how much it has put out. */
    private static final class Row {
        final Request request;
        final int outputs;
        int done;

        Row(Request request, int outputs) {
            this.request = request;
            this.outputs = outputs;
        }
    }

    /** A micro-batch on its way, and which of its slots get a token. */
    private record Flight(StepPlan plan, List<Integer> sampled) {}

    /** Which token an own model would put out: any function of what goes before. */
    private static int next(Sequence sequence) {
        int hash = 17;
        for (int i = 0; i < sequence.size(); i++) {
            hash = hash * 31 + sequence.token(i);
        }
        return Math.floorMod(hash, 3);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void anyLoadIsDoneOnceWithinTheLimits(int lanes) {
        Random random = new Random(11 + lanes);
        int preemptions = 0;
        int cached = 0;
        for (int round = 0; round < 150; round++) {
            int sequences = 1 + random.nextInt(6);
            GeneratorOptions options = new GeneratorOptions(
                    32,
                    sequences,
                    sequences + random.nextInt(40),
                    1 + random.nextInt(6),
                    32 + random.nextInt(30),
                    DataType.F32,
                    random.nextBoolean());
            StepStats stats = new Simulation(options, lanes, random).run();
            preemptions += stats.preemptions();
            cached += stats.cachedTokens();
        }
        assertThat(preemptions).isGreaterThan(40);
        assertThat(cached).isGreaterThan(1000);
    }

    private static final class Simulation {
        private final GeneratorOptions options;
        private final int lanes;
        private final Random random;
        private final Scheduler scheduler;
        private final PlanReader reader;
        private final Deque<MicroBatch> free = new ArrayDeque<>(); // one to a lane, used again
        private final Map<Long, Row> rows = new HashMap<>();
        private final @Nullable Sequence[] running;
        private final int[] inFlight;
        private final @Nullable String[][] cache; // by block and slot: all tokens up to there
        private final Deque<Flight> flights = new ArrayDeque<>();
        private int added;
        private int finished;

        Simulation(GeneratorOptions options, int lanes, Random random) {
            int tight = options.blocksPerSequence() + random.nextInt(options.blocksPerSequence() * 2);
            this.options = options.withCacheBlocks(random.nextBoolean() ? tight : options.cacheBlocks());
            this.lanes = lanes;
            this.random = random;
            this.scheduler = new Scheduler(this.options, lanes);
            this.running = new @Nullable Sequence[options.maxSequences()];
            this.inFlight = new int[options.maxSequences()];
            this.reader = new PlanReader(this.options, lanes);
            for (int lane = 0; lane < lanes; lane++) {
                free.add(new MicroBatch(options.blockSize()));
            }
            this.cache = new @Nullable String[this.options.cacheBlocks()][options.blockSize()];
        }

        StepStats run() {
            int requests = random.nextInt(25);
            int stuck = 0;
            while (added < requests || !scheduler.isIdle()) {
                while (added < requests && scheduler.room() > 0 && random.nextInt(4) > 0) {
                    add();
                }
                StepPlan plan = scheduler.next();
                int[] ints = plan.encode();
                assertThat(reader.read(ints, 0, ints.length).encode()).isEqualTo(ints);
                assertThat(plan.slots()).hasSizeLessThanOrEqualTo(options.maxSequences());
                assertThat(plan.tokens()).isLessThanOrEqualTo(options.maxTokensPerStep());
                flights.add(compute(plan));
                stuck = flights.stream().allMatch(each -> each.plan.slots().length == 0) ? stuck + 1 : 0;
                assertThat(stuck == 0 || scheduler.isIdle())
                        .as("something is always on its way")
                        .isTrue();
                if (flights.size() == lanes) {
                    land(flights.remove());
                }
            }
            assertThat(finished).isEqualTo(requests);
            return scheduler.stats(0, 0);
        }

        private void add() {
            int[] prompt = random.ints(1 + random.nextInt(31), 0, 2).toArray();
            if (random.nextBoolean()) { // a common instruction
                Arrays.fill(prompt, 0, prompt.length * 3 / 4, 1);
            }
            int most = Math.min(1 + random.nextInt(40), 32 - prompt.length);
            Request request = new Request(added, prompt, SamplingParams.greedy().withMaxTokens(most));
            rows.put(request.id(), new Row(request, 1 + random.nextInt(most)));
            scheduler.add(request);
            added++;
        }

        private Flight compute(StepPlan plan) {
            for (int slot : plan.released()) {
                assertThat(inFlight[slot]).isZero();
            }
            MicroBatch.seat(plan, running);
            MicroBatch batch = free.remove();
            batch.fill(plan, running);
            for (int slot : plan.slots()) {
                inFlight[slot]++;
            }
            write(batch);
            for (int s = 0; s < batch.layout().sequences(); s++) {
                read(batch, s);
            }
            free.add(batch);
            return new Flight(plan, Arrays.stream(batch.slots()).boxed().toList());
        }

        /** All keys of a step are written before any query reads. */
        private void write(MicroBatch batch) {
            for (int s = 0; s < batch.layout().sequences(); s++) {
                Sequence sequence = sequence(batch.plan().slots()[s]);
                for (int p = batch.layout().firstPosition(s); p < batch.layout().contextLengths()[s]; p++) {
                    cache[sequence.blocks()[p / options.blockSize()]][p % options.blockSize()] = beginning(sequence, p);
                }
            }
        }

        private void read(MicroBatch batch, int s) {
            Sequence sequence = sequence(batch.plan().slots()[s]);
            for (int p = 0; p < batch.layout().contextLengths()[s]; p++) {
                int block = batch.layout().blockTables()[s][p / options.blockSize()];
                assertThat(cache[block][p % options.blockSize()]).isEqualTo(beginning(sequence, p));
            }
        }

        private static String beginning(Sequence sequence, int position) {
            return Arrays.toString(Arrays.copyOf(sequence.known(), position + 1));
        }

        private void land(Flight flight) {
            scheduler.land(flight.plan.slots());
            for (int slot : flight.plan.slots()) {
                inFlight[slot]--;
            }
            for (int slot : flight.sampled) {
                Sequence sequence = sequence(slot);
                int token = next(sequence);
                sequence.append(token);
                scheduler.append(slot, token);
                Row row = rows.get(sequence.id());
                assertThat(row).as("done once").isNotNull();
                row.done++;
                assertThat(sequence.outputTokens())
                        .as("nothing put out is lost")
                        .isEqualTo(row.done);
                assertThat(sequence.known()).startsWith(row.request.prompt());
                if (row.done == row.outputs) {
                    scheduler.finish(slot);
                    rows.remove(sequence.id());
                    finished++;
                }
            }
        }

        private Sequence sequence(int slot) {
            Sequence sequence = running[slot];
            assertThat(sequence).isNotNull();
            return sequence;
        }
    }
}
