package org.lockstep.transport;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.lockstep.collective.TransportKind;

/** A world of {@link RankProcess}es that reduce without end, or several worlds of the same processes, to be hurt. */
public final class RankProcesses implements AutoCloseable {
    /** What their messages go over. */
    public enum Kind {
        SHARED,
        TCP,
        ENCRYPTED,

        /** The last one's over TCP, the others' over shared memory: two hosts, of unequal numbers. */
        MIXED,

        /** Each with a device of the stand-in. */
        NCCL,

        /** The same, with kernels for small all-reduces. */
        KERNELS;

        Set<TransportKind> transports() {
            return switch (this) {
                case SHARED, NCCL, KERNELS -> Set.of(TransportKind.SHARED);
                case TCP, ENCRYPTED -> Set.of(TransportKind.TCP);
                case MIXED -> Set.of(TransportKind.SHARED, TransportKind.TCP);
            };
        }
    }

    /** What a rank is made of, and what its device of the stand-in checks itself with. */
    private static final Pattern NEEDED = Pattern.compile(".*/(test-)?classes/?"
            + "|.*/(lockstep|kryo5|slf4j-api|log4j-api|log4j-slf4j2-impl)-\\d[^/]*"
            + "|.*/(jna|jcuda|jcuda-natives|assertj-core|junit-[a-z-]*|opentest4j)-\\d[^/]*");

    private static final String C1 = "-XX:TieredStopAtLevel=1"; // ranks are there sooner

    private final List<Rank> byIndex = new ArrayList<>();
    private final Rank[] byRank;
    private final int worlds;

    /** One of them. */
    public static final class Rank {
        private final Process process;
        private final BlockingQueue<String> lines = new LinkedBlockingQueue<>();
        private final BlockingQueue<String> logged = new LinkedBlockingQueue<>();
        private final PrintStream in;

        public Rank(Process process) {
            this.process = process;
            this.in = new PrintStream(process.getOutputStream(), true, StandardCharsets.UTF_8);
            read(process.inputReader(StandardCharsets.UTF_8), lines);
            read(process.errorReader(StandardCharsets.UTF_8), logged);
        }

        private static void read(BufferedReader from, BlockingQueue<String> to) {
            Thread reader = new Thread(() -> {
                try (from) {
                    for (String line = from.readLine(); line != null; line = from.readLine()) {
                        to.add(line);
                    }
                } catch (IOException gone) {
                    // killed
                }
                to.add("end");
            });
            reader.setDaemon(true);
            reader.start();
        }

        /** What comes after {@code word} in its next line that begins so. */
        public String next(String word) throws InterruptedException {
            return find(lines, line -> line.startsWith(word), word);
        }

        /** What comes after {@code words} in the next line that it logs with them. */
        public String logs(String words) throws InterruptedException {
            return find(logged, line -> line.contains(words), words);
        }

        private String find(BlockingQueue<String> queue, Predicate<String> wanted, String words)
                throws InterruptedException {
            String line = queue.poll(60, TimeUnit.SECONDS);
            while (line != null && !line.equals("end") && !wanted.test(line)) {
                line = queue.poll(60, TimeUnit.SECONDS);
            }
            if (line == null || line.equals("end")) {
                throw new IllegalStateException("no line '" + words + "' of " + process + ", which logged " + logged);
            }
            return line.substring(line.indexOf(words) + words.length()).strip();
        }

        /** Whether it says nothing for so long but that it goes on. */
        public boolean isQuietFor(Duration time) throws InterruptedException {
            long end = System.nanoTime() + time.toNanos();
            String line;
            do {
                line = lines.poll(end - System.nanoTime(), TimeUnit.NANOSECONDS);
            } while (RankProcess.ROUND.equals(line));
            return line == null;
        }

        public void say(String words) {
            in.println(words);
        }

        public void kill() {
            process.destroyForcibly();
        }

        /** Sends {@code STOP}, {@code CONT}, {@code TERM} ... */
        public void signal(String name) throws IOException, InterruptedException {
            new ProcessBuilder("kill", "-" + name, Long.toString(process.pid()))
                    .start()
                    .waitFor();
        }

        public boolean ends() throws InterruptedException {
            return process.waitFor(60, TimeUnit.SECONDS);
        }
    }

    public RankProcesses(Kind kind, int size, int elements, Rhythm rhythm) throws Exception {
        this(List.of(), kind, size, elements, rhythm);
    }

    /** Each run by a command that takes another one at its end. */
    RankProcesses(List<String> runner, Kind kind, int size, int elements, Rhythm rhythm) throws Exception {
        this(runner, List.of("-Xmx128m", C1), RankProcess.ROUNDS, kind, size, List.of(elements), rhythm);
    }

    /** With these options of Java; it is there when each has said that so many rounds are over. */
    RankProcesses(
            List<String> runner, List<String> options, int rounds, Kind kind, int size, int elements, Rhythm rhythm)
            throws Exception {
        this(runner, options, rounds, kind, size, List.of(elements), rhythm);
    }

    /**
     * A world for each number of elements, all of the same processes: what becomes of one becomes of its rank in each world. Only
     * the second compiler has AES as instructions, which many elements want.
     */
    RankProcesses(Kind kind, int size, List<Integer> elements, Rhythm rhythm) throws Exception {
        this(
                List.of(),
                kind == Kind.ENCRYPTED ? List.of("-Xmx128m") : List.of("-Xmx128m", C1),
                RankProcess.ROUNDS,
                kind,
                size,
                elements,
                rhythm);
    }

    private RankProcesses(
            List<String> runner,
            List<String> options,
            int rounds,
            Kind kind,
            int size,
            List<Integer> elements,
            Rhythm rhythm)
            throws Exception {
        worlds = elements.size();
        byte[] key = new byte[32];
        new Random().nextBytes(key);
        String attempt = UUID.randomUUID().toString();
        for (int index = 0; index < size; index++) {
            List<String> command = new ArrayList<>(runner);
            command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
            command.addAll(options);
            command.addAll(List.of(
                    "-Dorg.apache.logging.log4j.simplelog.level=info",
                    "-cp",
                    classPath(),
                    RankProcess.class.getName(),
                    attempt,
                    HexFormat.of().formatHex(key),
                    Integer.toString(index),
                    Integer.toString(size),
                    kind.name(),
                    elements.stream().map(String::valueOf).collect(Collectors.joining(",")),
                    Long.toString(rhythm.beat().toMillis()),
                    Long.toString(rhythm.suspicion().toMillis()),
                    Long.toString(rhythm.loss().toMillis())));
            byIndex.add(new Rank(new ProcessBuilder(command).start()));
        }
        byRank = new Rank[size];
        for (int world = 0; world < worlds; world++) {
            meet();
        }
        for (Rank each : byIndex) {
            for (int round = 0; round < rounds * worlds; round++) {
                each.next(RankProcess.ROUND);
            }
        }
    }

    private void meet() throws InterruptedException {
        List<String> records = new ArrayList<>();
        for (Rank each : byIndex) {
            records.add(each.next("record"));
        }
        for (Rank each : byIndex) {
            records.forEach(each::say);
        }
        for (Rank each : byIndex) {
            byRank[Integer.parseInt(each.next("rank"))] = each; // the same in every world
        }
    }

    /** Without Spark and Log4j's core, whose setting up took as long as the rest of a rank: Log4j's API logs alone, simply. */
    static String classPath() {
        return Stream.of(System.getProperty("java.class.path").split(File.pathSeparator))
                .filter(NEEDED.asMatchPredicate())
                .collect(Collectors.joining(File.pathSeparator));
    }

    public int size() {
        return byRank.length;
    }

    public Rank rank(int rank) {
        return byRank[rank];
    }

    /** How all but {@code dead} end, in their order. */
    public List<String> endsOfOthers(int dead) throws InterruptedException {
        List<String> ends = new ArrayList<>();
        for (int rank = 0; rank < byRank.length; rank++) {
            if (rank != dead) {
                ends.addAll(endsOf(rank));
            }
        }
        return ends;
    }

    /** How a rank ends, in every world. */
    List<String> endsOf(int rank) throws InterruptedException {
        List<String> ends = new ArrayList<>();
        for (int world = 0; world < worlds; world++) {
            ends.add(byRank[rank].next("over"));
        }
        return ends;
    }

    @Override
    public void close() {
        byIndex.forEach(Rank::kill);
    }
}
