package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.cli.bench.ThreadRanks;
import org.lockstep.collective.Backend;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.Communicators;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import picocli.CommandLine;

/** What becomes of results that are wrong. */
@Timeout(60)
class BenchRunTest {
    private static final Set<Class<?>> PARTS = Set.of(Backend.Endpoint.class, Communicators.class, Communicator.class);

    private static final int WRONG_RANK = 1;

    /**
     * Of each call one element is wrong, on one rank: it counts before the timed calls, in what these leave behind, and after
     * them. What is summed in place again and again is compared before and after only.
     */
    @ParameterizedTest
    @CsvSource({
        "all-gather, allGather, 3, 3",
        "all-reduce, allReduce, 3, 2",
        "all-to-all, allToAll, 3, N/A",
        "broadcast, broadcast, 3, 3"
    })
    void aWrongElementIsCountedAndTheExitCodeSaysSo(String word, String method, String outOfPlace, String inPlace)
            throws Exception {
        Run run = run(method, word);
        assertThat(run.code()).as(run.out()).isEqualTo(1);
        List<String> row = run.out()
                .lines()
                .filter(line -> !line.startsWith("#"))
                .flatMap(line -> List.of(line.strip().split("\\s+")).stream())
                .toList();
        assertThat(row.get(8)).isEqualTo(outOfPlace);
        assertThat(row.get(12)).isEqualTo(inPlace);
        int all = Integer.parseInt(outOfPlace) + (inPlace.equals("N/A") ? 0 : Integer.parseInt(inPlace));
        assertThat(run.out()).contains("# Wrong elements    : " + all + " FAILED");
    }

    /** What is right of the one operation does not hide what is wrong of the other. */
    @Test
    void jsonSaysHowManyAreWrongOfEachOperation() throws Exception {
        Run run = run("allGather", "all-gather", "broadcast", "--json");
        assertThat(run.code()).isEqualTo(1);
        List<String> errors = new ArrayList<>();
        for (String line : run.out().lines().toList()) {
            JsonNode json = new ObjectMapper().readTree(line);
            errors.add(json.get("op").textValue() + " " + json.get("errors"));
        }
        assertThat(errors).containsExactly("all_gather 3", "all_gather 3", "broadcast 0", "broadcast 0");
    }

    @Test
    void whatIsNotComparedIsNotWrong() throws Exception {
        Run run = run("allGather", "all-gather", "-c", "0");
        assertThat(run.code()).isZero();
        assertThat(run.out()).contains("N/A", "# Wrong elements    : 0 OK");
    }

    /** A run on groups of three that spoil what {@code method} gives one rank. */
    private static Run run(String method, String... words) throws Exception {
        StringWriter out = new StringWriter();
        StringWriter err = new StringWriter();
        Screen screen = new Screen(new PrintWriter(out), new PrintWriter(err), false);
        CommandLine line = BenchCommand.commandLine(screen, () -> false, Map.of());
        List<String> all = new ArrayList<>(List.of(words));
        all.addAll(List.of("--ranks", "3", "--sizes", "240", "-n", "3", "-w", "2", "--batches", "2"));
        line.parseArgs(all.toArray(String[]::new));
        BenchCommand command = line.getCommand();
        ThreadRanks ranks = new ThreadRanks(
                (measured, party, parties) -> (Backend) spoiling(Backend.class, CpuBackend.create(), method));
        int code = new BenchRun(command.request(), screen, ranks).call();
        return new Run(code, out.toString(), err.toString());
    }

    /** {@code real}, and all groups that come of it, with one element more by one wherever {@code method} has received floats. */
    private static Object spoiling(Class<?> type, Object real, String method) {
        InvocationHandler handler = (proxy, called, arguments) -> {
            Object result;
            try {
                result = called.invoke(real, arguments);
            } catch (InvocationTargetException thrown) {
                throw thrown.getCause();
            }
            if (called.getName().equals(method) && real instanceof Communicator group) {
                spoil(group, arguments);
            }
            return PARTS.contains(called.getReturnType())
                    ? spoiling(called.getReturnType(), Objects.requireNonNull(result), method)
                    : result;
        };
        return Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, handler);
    }

    /** The ranks' times and counts, which they reduce too, are of other types. */
    private static void spoil(Communicator group, @Nullable Object[] arguments) {
        if (group.rankInGroup() == WRONG_RANK
                && arguments[1] instanceof HostBuffer received
                && received.type() == DataType.F32) {
            received.floats()[received.offset()]++;
        }
    }
}
