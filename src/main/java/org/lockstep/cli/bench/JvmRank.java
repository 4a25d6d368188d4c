package org.lockstep.cli.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HexFormat;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Backend;
import org.lockstep.collective.Key;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.World;

/**
 * The main class of a JVM that is one rank; {@link JvmRanks} starts it and speaks with it, a line at a time. Down comes
 * the order, then the records of the meeting; up go {@code hello}, {@code result} for each measurement of rank 0, and
 * {@code done} or {@code failed}.
 *
 * <p>It never outlives who started it: when its standard input ends, so does it.
 */
final class JvmRank {
    static final String RESULT = "result ";
    static final String FAILED = "failed ";
    static final String DONE = "done";

    private static final int GRACE_MILLIS = 5_000;

    /**
     * What a rank is told. The key comes by a pipe: every user of the host can read command lines.
     *
     * @param backend of every party
     * @param index of this party
     * @param ranks of the world
     * @param transports that they may use
     * @param limitMillis as {@link RankSpec#limit}
     * @param attempt of the world
     * @param key of the attempt, in hexadecimal digits
     * @param plan to measure
     */
    record Order(
            BenchBackend backend,
            int index,
            int ranks,
            Set<TransportKind> transports,
            long limitMillis,
            UUID attempt,
            String key,
            BenchPlan plan) {
        RankSpec rankSpec() {
            return new RankSpec(backend, ranks, transports, Duration.ofMillis(limitMillis));
        }

        /** Without the key. */
        @Override
        public String toString() {
            return "Order[" + index + " of " + ranks + ", " + plan + "]";
        }
    }

    /**
     * How a rank failed.
     *
     * @param code of the failure
     * @param summary in a sentence
     * @param advice what the reader can change; empty if that is not known
     */
    record Failure(ErrorCode code, String summary, String advice) {
        static Failure of(Throwable failure) {
            if (failure instanceof LockstepException ours) {
                return new Failure(ours.code(), ours.summary(), ours.advice());
            }
            boolean memory = failure instanceof OutOfMemoryError;
            return new Failure(
                    memory ? ErrorCode.OUT_OF_MEMORY : ErrorCode.INTERNAL,
                    failure.toString(),
                    memory ? "LOCKSTEP_JAVA_OPTS=-Xmx4g, which each rank's JVM is given too; or smaller sizes" : "");
        }

        LockstepException exception(int party) {
            LockstepException.Report report =
                    LockstepException.report(code, summary).culprit("the JVM of party " + party);
            return (advice.isEmpty() ? report : report.attempt(advice)).exception();
        }
    }

    private final BlockingQueue<String> down = new LinkedBlockingQueue<>();
    private final PrintStream up;
    private final ObjectMapper json = new ObjectMapper();
    private final AtomicReference<@Nullable World> joined = new AtomicReference<>();

    private JvmRank(PrintStream up) {
        this.up = up;
    }

    public static void main(String[] args) {
        PrintStream up = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err); // what others print must not stand between our lines
        JvmRank rank = new JvmRank(up);
        Thread main = Thread.currentThread();
        Thread reader = new Thread(() -> rank.read(main), "lockstep-standard-input");
        reader.setDaemon(true);
        reader.start();
        System.exit(rank.live());
    }

    /** Hands lines on; at their end nobody is left to measure for. */
    private void read(Thread main) {
        try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                down.add(line);
            }
        } catch (IOException e) {
            System.err.println("standard input broke, which is its end: " + e);
        }
        World world = joined.get();
        if (world != null) {
            world.abort(new IllegalStateException("the process that started this one has ended"));
        }
        main.interrupt();
        try {
            main.join(GRACE_MILLIS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        Runtime.getRuntime().halt(ErrorCode.ABORTED.exitCode());
    }

    private int live() {
        try {
            measure(json.readValue(down.take(), Order.class));
            up.println(DONE);
            return 0;
        } catch (InterruptedException e) {
            return ErrorCode.ABORTED.exitCode(); // who started us is gone
        } catch (Throwable failure) { // whatever it is, who started us is told
            return fail(failure);
        }
    }

    private int fail(Throwable failure) {
        Failure told = Failure.of(failure);
        if (told.code() == ErrorCode.INTERNAL) {
            failure.printStackTrace(); // for a fault of our own there is nothing that the reader could set
        }
        try {
            up.println(FAILED + json.writeValueAsString(told));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return told.code().exitCode();
    }

    private void measure(Order order) {
        RankSpec ranks = order.rankSpec();
        Key key = Key.of(HexFormat.of().parseHex(order.key()));
        PipeRendezvous rendezvous = new PipeRendezvous(order.index(), order.ranks(), ranks.limit(), down, up::println);
        try (Backend backend = ranks.backend().open(order.index(), order.ranks());
                World world = World.join(rendezvous, backend, ranks.world(order.attempt(), key))) {
            joined.set(world);
            ThreadRanks.measure(world, backend, ranks.backend(), order.plan(), this::report);
        }
    }

    private void report(Measurement measurement) {
        try {
            up.println(RESULT + json.writeValueAsString(measurement));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
