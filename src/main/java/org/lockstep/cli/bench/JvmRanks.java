package org.lockstep.cli.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Key;

/**
 * Ranks as JVMs of this host, one each, of the same Java, options and class path as this one. They meet by way of this
 * process and end with it. Confined to the caller's thread.
 */
public final class JvmRanks {
    /** How long the others may take to tell how they failed, after the first has. */
    private static final long GRACE_MILLIS = 2_000;

    /** How long a JVM that is killed may take to be gone. */
    private static final long END_SECONDS = 30;

    /** What a rank says of another rank's failure. */
    private static final Set<ErrorCode> CONSEQUENCES = Set.of(ErrorCode.ABORTED, ErrorCode.PEER_LOST);

    private final RankSpec ranks;
    private final BenchPlan plan;
    private final Consumer<? super Measurement> report;
    private final long deadline;
    private final ObjectMapper json = new ObjectMapper();
    private final List<Process> processes = new ArrayList<>();
    private final List<PrintWriter> down = new ArrayList<>();
    private final BlockingQueue<Line> up = new LinkedBlockingQueue<>();

    /**
     * What a party said.
     *
     * @param text null at its end
     */
    private record Line(int party, @Nullable String text) {}

    private JvmRanks(RankSpec ranks, BenchPlan plan, Consumer<? super Measurement> report) {
        this.ranks = ranks;
        this.plan = plan;
        this.report = report;
        this.deadline = System.nanoTime() + ranks.limit().toNanos();
    }

    /**
     * Measures, and returns when all of it is reported; no process is left then.
     *
     * @throws LockstepException how the first rank failed, or RENDEZVOUS_TIMEOUT when the limit has passed
     */
    public static void measure(RankSpec ranks, BenchPlan plan, Consumer<? super Measurement> report) {
        JvmRanks run = new JvmRanks(ranks, plan, report);
        try {
            run.start();
            run.listen();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw LockstepException.report(ErrorCode.ABORTED, "interrupted while JVMs measured")
                    .cause(e)
                    .exception();
        } finally {
            run.end();
        }
    }

    /** Whatever is left. A process that is killed ends when the system comes to it. */
    private void end() {
        processes.forEach(Process::destroyForcibly);
        down.forEach(PrintWriter::close);
        CompletableFuture.allOf(processes.stream().map(Process::onExit).toArray(CompletableFuture<?>[]::new))
                .completeOnTimeout(null, END_SECONDS, TimeUnit.SECONDS)
                .join();
    }

    private void start() throws IOException {
        UUID attempt = UUID.randomUUID();
        byte[] secret = new byte[Key.BYTES];
        new SecureRandom().nextBytes(secret);
        String key = HexFormat.of().formatHex(secret);
        for (int party = 0; party < ranks.ranks(); party++) {
            Process process = new ProcessBuilder(command())
                    .redirectError(ProcessBuilder.Redirect.INHERIT)
                    .start();
            processes.add(process);
            PrintWriter lines = new PrintWriter(process.outputWriter(StandardCharsets.UTF_8), false);
            down.add(lines);
            int number = party;
            Thread reader = new Thread(() -> read(number, process), "lockstep-jvm-" + party);
            reader.setDaemon(true);
            reader.start();
            tell(
                    party,
                    json.writeValueAsString(new JvmRank.Order(
                            ranks.backend(),
                            party,
                            ranks.ranks(),
                            ranks.transports(),
                            ranks.limit().toMillis(),
                            attempt,
                            key,
                            plan)));
        }
    }

    private static List<String> command() {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        for (String option : ManagementFactory.getRuntimeMXBean().getInputArguments()) {
            // A debugger or an agent is for one process.
            if (!option.startsWith("-agent") && !option.startsWith("-javaagent") && !option.startsWith("-Xrun")) {
                command.add(option);
            }
        }
        command.add("-Dlog4j2.configurationFile=classpath:log4j2-lockstep.properties");
        command.add("-cp");
        command.add(System.getProperty("java.class.path"));
        command.add(JvmRank.class.getName());
        return command;
    }

    private void read(int party, Process process) {
        try (BufferedReader lines = process.inputReader(StandardCharsets.UTF_8)) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                up.add(new Line(party, line));
            }
        } catch (IOException e) {
            // The pipe broke, which is its end.
        }
        up.add(new Line(party, null));
    }

    private void tell(int party, String line) {
        PrintWriter lines = down.get(party);
        lines.println(line);
        lines.flush(); // a party that is gone is heard of by its own pipe
    }

    private void listen() throws IOException, InterruptedException {
        @Nullable String[] records = new @Nullable String[ranks.ranks()];
        int came = 0;
        Set<Integer> done = new HashSet<>();
        while (done.size() < ranks.ranks()) {
            long left = deadline - System.nanoTime();
            Line line = left <= 0 ? null : up.poll(left, TimeUnit.NANOSECONDS); // nor is a late one taken
            if (line == null) {
                throw timeout(came, done.size());
            }
            String text = line.text();
            if (text == null) {
                if (!done.contains(line.party())) {
                    throw firstCause(line);
                }
            } else if (text.startsWith(JvmRank.FAILED)) {
                throw firstCause(line);
            } else if (text.startsWith(PipeRendezvous.HELLO)) {
                records[line.party()] = text.substring(PipeRendezvous.HELLO.length());
                came++;
                if (came == ranks.ranks()) {
                    introduce(records);
                }
            } else if (text.startsWith(JvmRank.RESULT)) {
                report.accept(json.readValue(text.substring(JvmRank.RESULT.length()), Measurement.class));
            } else if (text.equals(JvmRank.DONE)) {
                done.add(line.party());
            }
        }
        for (Process process : processes) {
            process.waitFor(GRACE_MILLIS, TimeUnit.MILLISECONDS);
        }
    }

    private void introduce(@Nullable String[] records) {
        for (int party = 0; party < ranks.ranks(); party++) {
            for (String record : records) {
                tell(party, String.valueOf(record));
            }
        }
    }

    private LockstepException timeout(int came, int done) {
        return LockstepException.report(
                        ErrorCode.RENDEZVOUS_TIMEOUT,
                        ranks.ranks() + " JVMs did not end in " + ranks.limit().toSeconds() + " s: " + came
                                + " came to the meeting, " + done + " ended")
                .attempt("--timeout, fewer sizes or fewer ranks")
                .exception();
    }

    /** Of what is told within a short while the first that is no consequence of another's end; else the first of all. */
    private LockstepException firstCause(Line first) throws IOException, InterruptedException {
        long until = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(GRACE_MILLIS);
        Set<Integer> told = new HashSet<>();
        LockstepException consequence = null;
        int ended = 0;
        for (Line line = first; line != null; ) {
            String text = line.text();
            if (text == null) {
                ended++;
                if (told.add(line.party())) {
                    return vanished(line.party());
                }
            } else if (text.startsWith(JvmRank.FAILED)) {
                told.add(line.party());
                String failure = text.substring(JvmRank.FAILED.length());
                LockstepException cause =
                        json.readValue(failure, JvmRank.Failure.class).exception(line.party());
                if (!CONSEQUENCES.contains(cause.code())) {
                    return cause;
                }
                consequence = consequence == null ? cause : consequence;
            } else if (text.equals(JvmRank.DONE)) {
                told.add(line.party());
            }
            line = ended == ranks.ranks() ? null : up.poll(until - System.nanoTime(), TimeUnit.NANOSECONDS);
        }
        return Objects.requireNonNull(consequence);
    }

    private LockstepException vanished(int party) throws InterruptedException {
        Process process = processes.get(party);
        boolean ended = process.waitFor(GRACE_MILLIS, TimeUnit.MILLISECONDS);
        return LockstepException.report(
                        ErrorCode.PEER_LOST,
                        "the JVM of party " + party + " ended before its work"
                                + (ended ? ", with exit code " + process.exitValue() : ""))
                .attempt("what it wrote to standard error; enough memory for " + ranks.ranks() + " JVMs")
                .exception();
    }
}
