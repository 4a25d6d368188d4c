package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.cli.bench.Operation;

@Timeout(120)
class BenchCommandTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final List<String> QUICK = List.of("-n", "3", "-w", "2", "--batches", "2");

    @Test
    void theTableHasTheColumnsOfNcclTests() {
        Run run = run("all-reduce", "-b", "8", "-e", "128", "-f", "4");
        assertThat(run.err()).isEmpty();
        assertThat(run.code()).isZero();
        List<String> lines = run.out().lines().toList();
        assertThat(lines.get(0)).contains("all-reduce", "ranks 2", "place threads", "transport thread");
        assertThat(lines.get(1)).contains("out-of-place", "in-place");
        assertThat(lines.get(2).replace("#  ", "").strip().split("\\s+"))
                .containsExactly(
                        ("size count type redop root time algbw busbw #wrong time algbw busbw #wrong").split(" "));
        List<String> rows = lines.stream().filter(line -> !line.startsWith("#")).toList();
        assertThat(rows).hasSize(3);
        assertThat(rows.get(1))
                .matches("\\s+32\\s+8\\s+f32\\s+sum\\s+-1(\\s+[0-9.]+\\s+[0-9.]+\\s+[0-9.]+\\s+0){2}\\s*");
        assertThat(run.out()).contains("# Wrong elements    : 0 OK", "# Avg bus bandwidth : ");
    }

    @Test
    void whatHasNoInPlaceFormOrIsNotComparedIsNotApplicable() {
        assertThat(row(run("all-to-all", "--sizes", "64"))).matches(".*\\s0(\\s+N/A){4}\\s*");
        assertThat(row(run("broadcast", "--sizes", "64", "-c", "0"))).matches(".*none\\s+0(.*\\sN/A){2}\\s*");
    }

    private static String row(Run run) {
        assertThat(run.code()).as(run.err()).isZero();
        return run.out().lines().filter(line -> !line.startsWith("#")).collect(Collectors.joining());
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 5})
    void everyOperationOfThreadsIsRightAtAnySize(int ranks) throws IOException {
        List<JsonNode> lines = json(run("all", "--ranks", "" + ranks, "--sizes", "4,20,1000", "-r", "1", "--json"));
        assertThat(operations(lines)).isEqualTo(tokens());
        assertThat(lines).hasSize(9 * 3 * 2 + 3 * 3 + 1);
        lines.forEach(line -> assertLine(line, "lockstep-local", ranks, "thread"));
    }

    @ParameterizedTest
    @CsvSource({"jvms, lockstep-shm, shared", "tcp, lockstep-tcp, tcp"})
    void everyOperationOfTwoJvmsIsRight(String place, String peer, String transport) throws IOException {
        Run run = run("all", "--place", place, "--sizes", "4,1000", "--json");
        List<JsonNode> lines = json(run);
        assertThat(operations(lines)).isEqualTo(tokens());
        lines.forEach(line -> assertLine(line, peer, 2, transport));
        assertThat(run.err()).as("the tables go elsewhere").contains("place " + place, "#wrong");
    }

    @Test
    void placesAreMeasuredOneAfterTheOther() throws IOException {
        Run run = run("barrier", "--place", "threads,jvms", "--json");
        assertThat(json(run).stream().map(line -> line.get("peer").textValue()))
                .containsExactly("lockstep-local", "lockstep-shm");
    }

    static void assertLine(JsonNode line, String peer, int ranks, String transport) {
        assertThat(line.get("peer").textValue()).isEqualTo(peer);
        assertThat(line.get("ranks").intValue()).isEqualTo(ranks);
        assertThat(line.get("errors").longValue())
                .as("wrong elements: %s", line)
                .isZero();
        assertThat(line.get("transport").textValue()).isEqualTo(transport);
        for (String number : List.of("bytes", "count", "calls", "root")) {
            assertThat(line.get(number).isIntegralNumber()).as(number).isTrue();
        }
        for (String number : List.of("lat_us", "min_us", "algbw_GBs", "busbw_GBs")) {
            assertThat(line.get(number).isNumber()).as(number).isTrue();
        }
        assertThat(line.get("lat_us").doubleValue())
                .isGreaterThanOrEqualTo(line.get("min_us").doubleValue());
        assertThat(line.get("type").isTextual() && line.get("redop").isTextual())
                .isTrue();
        assertThat(line.get("in_place").isBoolean()).isTrue();
    }

    @ParameterizedTest
    @CsvSource({
        "f64,sum",
        "f32,prod",
        "bf16,sum",
        "f16,max",
        "i64,min",
        "i32,sum",
        "i8,sum",
        "u8,prod",
        "bf16,avg",
        "f32,avg"
    })
    void everyTypeAndReductionIsRight(String type, String reduction) throws IOException {
        Run run = run(
                "all-reduce",
                "reduce",
                "reduce-scatter",
                "reduce-scatter-v",
                "all-gather",
                "-d",
                type,
                "-o",
                reduction,
                "--ranks",
                "3",
                "--sizes",
                "8,4000",
                "--json");
        for (JsonNode line : json(run)) {
            assertThat(line.get("type").textValue()).isEqualTo(type);
            assertLine(line, "lockstep-local", 3, "thread");
        }
    }

    @Test
    void bandwidthsAreThoseOfNcclTests() throws IOException {
        for (JsonNode line : json(run("all", "--ranks", "4", "--sizes", "1M", "--json"))) {
            String op = line.get("op").textValue();
            double factor = switch (op) {
                case "all_reduce" -> 1.5;
                case "broadcast", "reduce", "ping_pong", "barrier" -> 1;
                default -> 0.75;
            };
            double algbw = line.get("algbw_GBs").doubleValue();
            assertThat(algbw * line.get("lat_us").doubleValue() * 1000)
                    .as(op)
                    .isCloseTo(
                            line.get("bytes").doubleValue(),
                            within(line.get("lat_us").doubleValue() * 2));
            assertThat(line.get("busbw_GBs").doubleValue()).as(op).isCloseTo(algbw * factor, within(0.002));
        }
    }

    @Test
    void theHookReadsItsEnvironment() throws IOException {
        Map<String, String> environment = Map.of(
                "OPS", "all_reduce broadcast,ping_pong barrier",
                "SIZES", "4 1024",
                "RANKS", "3",
                "BATCHES", "2",
                "BATCH_MS", "1");
        StringWriter out = new StringWriter();
        StringWriter err = new StringWriter();
        Screen screen = new Screen(new PrintWriter(out), new PrintWriter(err), false);
        int code = BenchCommand.commandLine(screen, () -> false, environment)
                .execute("--hook", "--place", "threads", "-w", "10");
        assertThat(code).as(err.toString()).isZero();
        List<JsonNode> lines = json(new Run(code, out.toString(), ""));
        assertThat(lines.stream().map(line -> line.get("op").textValue() + " " + line.get("bytes")))
                .containsExactly(
                        "all_reduce 4",
                        "all_reduce 1024",
                        "broadcast 4",
                        "broadcast 1024",
                        "ping_pong 4",
                        "ping_pong 1024",
                        "barrier 0");
        lines.forEach(line -> {
            assertLine(line, "lockstep-local", 3, "thread");
            assertThat(line.get("in_place").booleanValue())
                    .isEqualTo(line.get("op").textValue().equals("broadcast"));
        });
    }

    @Test
    void everyOperationOfTasksOfSparkIsRight() throws IOException {
        List<JsonNode> lines = json(run("all", "--master", "local[2]", "--sizes", "64,4K", "--json"));
        assertThat(operations(lines)).isEqualTo(tokens());
        assertThat(lines).hasSize(9 * 2 * 2 + 3 * 2 + 1);
        lines.forEach(line -> assertLine(line, "lockstep-spark", 2, "thread"));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "bench | which operation? all-reduce, all-gather,",
                "bench all-reduze | no operation 'all-reduze'; there are all-reduce, all-gather,",
                "bench all-reduce --ranks 1 | ranks (1) must be at least 2",
                "bench all-reduce --backend moon | no backend 'moon'; there are host, nccl, nccl-shared, peer",
                "bench all-reduce --backend nccl --ranks 0 | ranks (0) must be at least 1",
                "bench all-reduce --backend peer --ranks 1 | ranks (1) must be at least 2",
                "bench all-reduce --backend peer --conf spark.lockstep.gpu.peerLimit=1m | is not for --backend peer",
                "bench all-reduce --backend nccl --place tcp | --place tcp is for --backend host",
                "bench send-receive --backend nccl --ranks 1 | send-receive is between two ranks",
                "bench all-reduce -b 1M -e 1K | --minbytes (1048576) is above --maxbytes (1024)",
                "bench all-reduce -b 2 | a size of 2 bytes is below that of one f32 (4)",
                "bench all-reduce --sizes 12Q | '12Q' is no size",
                "bench all-reduce --sizes 9G | a size of 9663676416 bytes is above 2^31 elements",
                "bench all-reduce -f 1 | the factor (1)",
                "bench all-reduce -f 2 -i 8 | exclude each other",
                "bench all-reduce -d f33 | no type 'f33'; there are [f64, f32,",
                "bench all-reduce -d int -o avg | --op avg is for floating types, not i32",
                "bench all-reduce -d f8_e5m2 --ranks 9 | --check 1 is for at most 8 ranks of f8_e5m2",
                "bench all-reduce -d f8_e4m3 -o avg --ranks 7 | --check 1 of --op avg in f8_e4m3 is for 1, 2, 4 or 8 ranks",
                "bench all-reduce -o xor | no reduction 'xor'; there are sum, prod, min, max, avg",
                "bench reduce -r 2 | --root (2) is no rank of 0..1",
                "bench all-reduce --place moon | no place 'moon'; there are threads, jvms, tcp",
                "bench all-reduce --place jvms --master local[2] | --place is for ranks without Spark",
                "bench all-reduce --transports pigeon | there is no transport 'pigeon': thread, shared, tcp",
                "bench all-reduce -c 2 | --check (2) is 0 or 1",
                "bench all-reduce --batches 0 | batches (0) are 1 to 1000",
            })
    void misuseIsToldWithWhatIsValid(String words, String message) {
        Run run = Run.of(words.split(" "));
        assertThat(run.code()).isEqualTo(2);
        assertThat(run.out()).isEmpty();
        assertThat(run.err())
                .contains(ErrorCode.USAGE.label(), message, "lockstep bench --help")
                .doesNotContain("\tat ");
    }

    private static Run run(String... words) {
        List<String> all = new ArrayList<>(List.of("bench"));
        all.addAll(List.of(words));
        all.addAll(QUICK);
        return Run.of(all.toArray(String[]::new));
    }

    static List<JsonNode> json(Run run) throws IOException {
        assertThat(run.code()).as(run.err()).isZero();
        List<JsonNode> lines = new ArrayList<>();
        for (String line : run.out().lines().toList()) {
            lines.add(JSON.readTree(line));
        }
        return lines;
    }

    static Set<String> operations(List<JsonNode> lines) {
        return lines.stream().map(line -> line.get("op").textValue()).collect(Collectors.toSet());
    }

    static Set<String> tokens() {
        return Stream.of(Operation.values()).map(Operation::token).collect(Collectors.toSet());
    }
}
