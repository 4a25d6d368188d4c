package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.apache.spark.ExecutorLostFailure;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerTaskEnd;
import org.apache.spark.scheduler.TaskInfo;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.FaultCase;
import org.lockstep.FaultLog;
import org.lockstep.inference.SamplingParams;
import org.lockstep.spark.failure.GangWatchTest;
import org.lockstep.spark.settings.Settings;

/**
 * Seeded faults in runs of four ranks, each in an executor of its own: networks between them that are slow, cut, changed,
 * silent, and processes that are killed, stopped, woken. However it goes, each run ends with the rows and texts of one that
 * nothing disturbed, each once; each attempt that fails releases its ranks in time and leaves one verdict of the agreed form,
 * which names one of those that are to blame; and the executors are as they were.
 *
 * <p>A few seeds with every build; many with {@code mvn verify -Dit.test=ChaosIT -Dlockstep.chaos.spark.seeds=220}, and one
 * again with {@code -Dlockstep.chaos.spark.first=SEED -Dlockstep.chaos.spark.seeds=1}.
 */
@Timeout(value = 180, unit = TimeUnit.MINUTES)
@FaultCase({"F04", "F05", "F08", "F12", "F34", "F35", "F36"})
class ChaosIT {
    private static final int ROWS = 12;
    private static final SamplingParams PARAMS =
            SamplingParams.greedy().withMaxTokens(48).withIgnoreEos(true);
    private static final long FIRST = Long.getLong("lockstep.chaos.spark.first", 1);
    private static final int SEEDS = Integer.getInteger("lockstep.chaos.spark.seeds", 3);

    /**
     * The operation's limit (8 s) or the time after which silence is a loss (7 s), longer than what a busy machine lets a process
     * stand still that nothing was done to; and what it adds.
     */
    private static final Duration BOUND = Duration.ofSeconds(18);

    private static final Pattern LABEL = Pattern.compile("LOCKSTEP-\\d{4} ([A-Z_]+)");
    private static final Pattern CULPRIT = Pattern.compile("(?m)^ {2}culprit *: rank (\\d+)");

    @TempDir
    private static Path folder;

    private static SparkSession session;

    private final Ends ends = new Ends();
    private final Map<ChaosBlows.Kind, List<Long>> released = new EnumMap<>(ChaosBlows.Kind.class);

    /** How tasks ended, but those whose executor had nothing to say any more. */
    private static final class Ends extends SparkListener {
        private final Queue<TaskInfo> all = new ConcurrentLinkedQueue<>();

        @Override
        public void onTaskEnd(SparkListenerTaskEnd task) {
            if (!(task.reason() instanceof ExecutorLostFailure)) {
                all.add(task.taskInfo());
            }
        }

        /** Milliseconds until the last task ended that ran at this time in an executor other than {@code hurt}. */
        OptionalLong released(long at, String hurt) {
            return all.stream()
                    .filter(task -> task.launchTime() <= at
                            && task.finishTime() >= at
                            && !task.executorId().equals(hurt))
                    .mapToLong(task -> task.finishTime() - at)
                    .max();
        }
    }

    @BeforeAll
    static void start() throws IOException {
        Sessions.assumeThatExecutorsStart();
        Map<String, String> conf = new HashMap<>();
        conf.put("spark.lockstep.slots.wait", "120s");
        conf.put("spark.lockstep.collective.timeout", "8s");
        conf.put("spark.lockstep.resident.idle", "0s");
        conf.put(Settings.FLIGHT_DIRECTORY.key(), folder.resolve("flight").toString());
        session = Sessions.executors(ChaosBlows.RANKS, 1, conf);
    }

    @AfterAll
    static void stop() {
        if (session != null) {
            session.stop();
        }
    }

    private static Dataset<Row> rows() {
        List<String> prompts = IntStream.range(0, ROWS)
                .mapToObj(i -> "Once upon a time, " + i + " crows")
                .toList();
        return session.createDataset(prompts, Encoders.STRING()).toDF("prompt");
    }

    @Test
    void everySeedEndsWithTheTextsOfAnUndisturbedRun() throws IOException {
        session.sparkContext().addSparkListener(ends);
        List<Row> texts;
        try (Llm alone = Llm.bundled(session).dataParallel(1)) {
            texts = alone.generate(rows(), "prompt", PARAMS).collectAsList();
        }
        List<String> wrong = new ArrayList<>();
        long start = System.nanoTime();
        int[] fallen = new int[2];
        LongStream.range(FIRST, FIRST + SEEDS).forEach(seed -> {
            ChaosBlows blows = ChaosBlows.of(seed);
            long begun = System.nanoTime();
            String how;
            try {
                int fell = check(blows, texts);
                fallen[0] += fell;
                fallen[1] += blows.blows().size();
                how = "well, " + fell + " of " + blows.blows().size() + " fell";
            } catch (Exception | AssertionError failure) {
                wrong.add(blows + "\n  " + failure);
                how = "WRONG " + failure;
            }
            System.out.printf(Locale.ROOT, "%s: %s, %.1f s%n", blows, how, (System.nanoTime() - begun) / 1e9);
        });
        System.out.printf(
                "%d seeds in %d s, %d of %d blows fell, %d wrong%n",
                SEEDS, TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - start), fallen[0], fallen[1], wrong.size());
        released.forEach((kind, millis) -> System.out.printf(
                Locale.ROOT,
                "  %-9s %3d times, released after %,d ms at most%n",
                kind,
                millis.size(),
                millis.stream().mapToLong(Long::longValue).max().orElse(0)));
        assertThat(wrong).isEmpty();
        assertNothingIsLeft();
    }

    /** Runs it; how many blows fell. */
    private int check(ChaosBlows blows, List<Row> texts) throws IOException {
        Path place = Files.createDirectories(folder.resolve("seed-" + blows.seed()));
        Set<Path> before = verdicts();
        session.sparkContext().conf().set(Settings.TRANSPORTS.key(), blows.shared() ? "thread,shared,tcp" : "tcp");
        session.sparkContext().conf().set(Settings.ENCRYPT.key(), Boolean.toString(blows.encrypted()));
        int attempts;
        try (Llm llm = Llm.bundled(session)
                .tensorParallel(2)
                .pipelineParallel(2)
                .maxSequences(4)
                .checkpointDir(place.resolve("kept").toString())
                .backend(new ChaosBackend.Factory(blows, place.toString()))) {
            Generation run = llm.run(rows(), "prompt", PARAMS);
            assertThat(run.rows().collectAsList()).isEqualTo(texts);
            attempts = run.report().attempts();
            run.discard();
        }
        assertThat(place.resolve("kept")).doesNotExist();
        List<ChaosBlows.Blow> hurting = new ArrayList<>();
        int fell = 0;
        for (int i = 0; i < blows.blows().size(); i++) {
            ChaosBlows.Blow blow = blows.blows().get(i);
            if (!Files.exists(ChaosBackend.fallen(place, i))) {
                continue;
            }
            fell++;
            if (!blow.kind().told.isEmpty()) {
                Duration held = release(blow, ChaosBackend.Fallen.read(ChaosBackend.fallen(place, i)));
                if (hurting.size() < attempts - 1 || !isSleptThrough(blow, held)) {
                    hurting.add(blow);
                }
            }
        }
        List<Path> told = new ArrayList<>(verdicts());
        told.removeAll(before);
        assertThat(told).as("one verdict of each attempt that failed").hasSize(attempts - 1);
        assertThat(attempts - 1).as("attempts that failed").isEqualTo(hurting.size());
        told.sort((a, b) -> Long.compare(a.toFile().lastModified(), b.toFile().lastModified()));
        for (int i = 0; i < told.size(); i++) {
            judge(hurting.get(i), new ObjectMapper().readTree(told.get(i).toFile()));
        }
        return fell;
    }

    /**
     * Whether a process that woke up again may have slept through the end of its run: the others had done their part, and left,
     * before its silence was a loss. That costs time and no attempt.
     */
    private static boolean isSleptThrough(ChaosBlows.Blow blow, Duration held) {
        return blow.kind() == ChaosBlows.Kind.THAW && held.compareTo(ChaosBackend.RHYTHM.loss()) < 0;
    }

    /** How long the others were held. */
    private Duration release(ChaosBlows.Blow blow, ChaosBackend.Fallen fallen) {
        Awaitility.await() // Spark tells its listeners some moments late
                .atMost(Duration.ofSeconds(20))
                .until(() -> ends.released(fallen.at(), fallen.executor()).isPresent());
        long millis = ends.released(fallen.at(), fallen.executor()).getAsLong();
        released.computeIfAbsent(blow.kind(), any -> new ArrayList<>()).add(millis);
        assertThat(Duration.ofMillis(millis)).as("release").isLessThan(BOUND);
        FaultLog.released(blow.kind() == ChaosBlows.Kind.KILL ? "F04" : "F36", Duration.ofMillis(millis));
        return Duration.ofMillis(millis);
    }

    private static void judge(ChaosBlows.Blow blow, JsonNode record) {
        String report = record.get("report").asText();
        assertThat(report).matches(GangWatchTest.CONTRACT);
        Matcher label = LABEL.matcher(report);
        assertThat(label.find()).isTrue();
        assertThat(blow.kind().told).as(report).extracting(Enum::name).contains(label.group(1));
        Set<Integer> named = new HashSet<>();
        Matcher culprit = CULPRIT.matcher(report);
        while (culprit.find()) {
            named.add(Integer.parseInt(culprit.group(1)));
        }
        assertThat(named).as(report).isNotEmpty();
        if (blow.kind() != ChaosBlows.Kind.STALL) { // who waits in vain names for whom, who may wait too
            assertThat(named).as(report).containsAnyElementsOf(blow.guilty());
        }
    }

    private static Set<Path> verdicts() throws IOException {
        Path directory = Files.createDirectories(folder.resolve("flight"));
        try (Stream<Path> files = Files.list(directory)) {
            return new HashSet<>(files.toList());
        }
    }

    /** Neither threads nor mapped memory nor open files of ours in an executor. */
    private static void assertNothingIsLeft() {
        Awaitility.await()
                .atMost(Duration.ofSeconds(60))
                .untilAsserted(() -> assertThat(JavaSparkContext.fromSparkContext(session.sparkContext())
                                .parallelize(IntStream.range(0, 32).boxed().toList(), 32)
                                .flatMap(i -> Stream.of(threads(), mappings(), files())
                                        .flatMap(found -> found)
                                        .iterator())
                                .collect())
                        .isEmpty());
    }

    private static Stream<String> threads() {
        return Thread.getAllStackTraces().keySet().stream()
                .map(Thread::getName)
                .filter(name -> name.startsWith("lockstep-"));
    }

    private static Stream<String> mappings() throws IOException {
        return Files.readAllLines(Path.of("/proc/self/maps")).stream()
                .filter(line -> line.contains("/dev/shm/lockstep-"));
    }

    /** Shared memory, and what is kept in the run's directory. */
    private static Stream<String> files() throws IOException {
        List<String> open = new ArrayList<>();
        try (Stream<Path> descriptors = Files.list(Path.of("/proc/self/fd"))) {
            for (Path descriptor : descriptors.toList()) {
                try {
                    open.add(Files.readSymbolicLink(descriptor).toString());
                } catch (NoSuchFileException closed) {
                    continue; // meanwhile: it was the list's own
                }
            }
        }
        return open.stream().filter(file -> file.contains("/dev/shm/lockstep-") || file.contains("/kept/"));
    }
}
