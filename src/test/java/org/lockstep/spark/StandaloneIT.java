package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.spark.SparkEnv;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ParallelSizes;

/** One Master, two Workers of two slots, and spark-submit of our jar alone: every one a process of its own. */
@Timeout(300)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class StandaloneIT {
    private static final Path DIST = Path.of(System.getProperty("lockstep.dist", "target/dist"));
    private static final String REGISTERED = "Successfully registered with master";
    private static final Pattern MASTER = Pattern.compile("Starting Spark master at (spark://\\S+)");

    private final List<Process> daemons = new ArrayList<>();
    private String master;

    @TempDir
    private Path folder;

    /** One cluster, for one application after the other. */
    @BeforeAll
    void startCluster(@TempDir Path place) throws IOException {
        Sessions.assumeThatExecutorsStart();
        master = startMaster(place);
        List<Path> logs = List.of(place.resolve("worker-0.log"), place.resolve("worker-1.log"));
        for (Path log : logs) {
            startWorker(log, place.resolve(log.getFileName() + ".work"));
        }
        Awaitility.await()
                .atMost(Duration.ofSeconds(120))
                .until(() -> contents(logs.get(0)).contains(REGISTERED)
                        && contents(logs.get(1)).contains(REGISTERED));
    }

    @AfterAll
    void stopDaemons() {
        daemons.forEach(Process::destroy);
        daemons.forEach(process -> process.onExit().join());
    }

    private Process java(Path log, String... arguments) throws IOException {
        List<String> command = SparkJvm.shortLived();
        command.addAll(List.of("-cp", DIST.toAbsolutePath() + "/jars/*"));
        command.addAll(List.of(arguments));
        ProcessBuilder builder =
                new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile());
        builder.environment().put("SPARK_HOME", DIST.toAbsolutePath().toString());
        builder.environment().put("SPARK_SCALA_VERSION", System.getenv().getOrDefault("SPARK_SCALA_VERSION", "2.13"));
        builder.environment().put("SPARK_LOCAL_IP", "127.0.0.1");
        return builder.start();
    }

    private void daemon(Path log, String... arguments) throws IOException {
        daemons.add(java(log, arguments));
    }

    private static String contents(Path log) throws IOException {
        return Files.exists(log) ? Files.readString(log) : "";
    }

    private String startMaster(Path place) throws IOException {
        Path masterLog = place.resolve("master.log");
        daemon(
                masterLog,
                "org.apache.spark.deploy.master.Master",
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--webui-port",
                "0");
        Awaitility.await()
                .atMost(Duration.ofSeconds(120))
                .until(() -> MASTER.matcher(contents(masterLog)).find());
        Matcher found = MASTER.matcher(contents(masterLog));
        assertThat(found.find()).isTrue();
        return found.group(1);
    }

    private void startWorker(Path log, Path work) throws IOException {
        daemon(
                log,
                "org.apache.spark.deploy.worker.Worker",
                master,
                "--cores",
                "2",
                "--memory",
                "1g",
                "--host",
                "127.0.0.1",
                "--webui-port",
                "0",
                "--work-dir",
                work.toString());
    }

    @Test
    void sparkSubmitOfTheJarAloneTellsStories() throws Exception {
        Path output = folder.resolve("stories.jsonl");
        Path log = folder.resolve("submit.log");
        File jar;
        try (Stream<Path> files = Files.list(DIST)) {
            jar = files.filter(file -> file.toString().endsWith("-all.jar"))
                    .findAny()
                    .orElseThrow()
                    .toFile();
        }
        Path sparkOnly = sparkJars();
        Process submit = new ProcessBuilder(submitCommand(
                        sparkOnly,
                        "--master",
                        master,
                        "--conf",
                        "spark.driver.host=127.0.0.1",
                        "--conf",
                        "spark.ui.enabled=false",
                        "--conf",
                        "spark.lockstep.slots.wait=240s",
                        "--class",
                        "org.lockstep.cli.Lockstep",
                        jar.getAbsolutePath(),
                        "generate",
                        "-tp",
                        "2",
                        "-pp",
                        "2",
                        "--temperature",
                        "0",
                        "--max-tokens",
                        "16",
                        "--output",
                        output.toString()))
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        assertStories(submit.waitFor(), log, output);
    }

    /** The launcher has no spark-submit that sends our jar to executors. */
    @Test
    void theCommandTellsStoriesOnExecutorsThatKnowNothingOfIt() throws Exception {
        Path output = folder.resolve("told.jsonl");
        Path log = folder.resolve("told.log");
        ProcessBuilder builder = new ProcessBuilder(
                DIST.resolve("bin/lockstep").toAbsolutePath().toString(),
                "generate",
                "--master",
                master,
                "-tp",
                "2",
                "-pp",
                "2",
                "--temperature",
                "0",
                "--max-tokens",
                "16",
                "--conf",
                "spark.executor.memory=1g",
                "--conf",
                "spark.driver.host=127.0.0.1",
                "--conf",
                "spark.lockstep.slots.wait=240s",
                "--output",
                output.toString());
        builder.environment().remove("SPARK_HOME");
        builder.environment().put("LOCKSTEP_JAVA_OPTS", SparkJvm.FIRST_COMPILER);
        Process told =
                builder.redirectErrorStream(true).redirectOutput(log.toFile()).start();
        assertStories(told.waitFor(), log, output);
    }

    private static void assertStories(int code, Path log, Path output) throws IOException {
        assertThat(code).as(contents(log)).isZero();
        List<String> lines = Files.readAllLines(output);
        assertThat(lines).isNotEmpty();
        for (String line : lines) {
            JsonNode row = new ObjectMapper().readTree(line);
            assertThat(row.get("prompt").asText()).isNotBlank();
            assertThat(row.get("text").asText()).isNotBlank();
            assertThat(row.get("error").isNull()).isTrue();
        }
        assertThat(contents(log)).contains("tensor 2 × pipeline 2 × data 1", "(0 with errors)", "4 ranks");
    }

    @Test
    void tensorGroupsStayInsideTheExecutorsOfACluster() throws Exception {
        String classes = new File("target/test-classes").getAbsolutePath()
                + File.pathSeparator
                + new File("target/classes").getAbsolutePath();
        SparkSession session = Sessions.with(Map.of(
                "spark.master",
                master,
                "spark.executor.memory",
                "1g",
                "spark.executor.extraClassPath",
                classes,
                "spark.lockstep.slots.wait",
                "240s"));
        try {
            JavaSparkContext spark = JavaSparkContext.fromSparkContext(session.sparkContext());
            List<String> places = BarrierStage.over(spark.parallelize(List.of(0, 1, 2, 3), 4))
                    .with(ParallelSizes.tensor(2).withPipeline(2).withData(1))
                    .mapRanks((rank, mine) -> {
                        HostBuffer sum = Buffer.ofFloats(1 << rank.state().rank());
                        rank.communicators().model().allReduce(sum, ReduceOp.SUM);
                        return List.of(rank.state().rank() + " " + sum.get(0) + " "
                                        + SparkEnv.get().executorId())
                                .iterator();
                    })
                    .collect();
            Map<String, String> executors = new HashMap<>();
            places.forEach(place -> executors.put(place.split(" ")[0], place.split(" ")[2]));
            assertThat(places).allMatch(place -> place.contains(" 15.0 "));
            assertThat(new HashSet<>(executors.values())).as(places.toString()).hasSize(2);
            assertThat(executors.get("0")).as(places.toString()).isEqualTo(executors.get("1"));
            assertThat(executors.get("2")).as(places.toString()).isEqualTo(executors.get("3"));
        } finally {
            session.stop();
        }
    }

    /** Spark's jars without our own dependencies, as on a cluster that knows nothing of us. */
    private Path sparkJars() throws IOException {
        Path jars = Files.createDirectory(folder.resolve("spark-only"));
        try (Stream<Path> all = Files.list(DIST.resolve("jars"))) {
            for (Path jar : all.toList()) {
                String name = jar.getFileName().toString();
                if (!name.matches("(picocli|kryo5|tokenizers|api-0|jna|jspecify).*")) {
                    Files.createSymbolicLink(jars.resolve(name), jar.toAbsolutePath());
                }
            }
        }
        return jars;
    }

    private static List<String> submitCommand(Path jars, String... arguments) {
        List<String> command = SparkJvm.shortLived();
        command.addAll(List.of("-cp", jars + "/*", "org.apache.spark.deploy.SparkSubmit"));
        command.addAll(List.of(arguments));
        return command;
    }
}
