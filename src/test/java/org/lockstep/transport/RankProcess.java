package org.lockstep.transport;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.lockstep.collective.Backend;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Hellos;
import org.lockstep.collective.Identity;
import org.lockstep.collective.Key;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.cuda.OnDeviceBackend;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/**
 * One rank in a process of its own: meets the others over its pipes, then reduces without end, and says what it does in
 * lines: {@code record ...}, {@code rank r}, {@code round}, {@code over CODE message}. What it reduces stays the largest of what
 * all began with, which it checks.
 *
 * <p>Of several worlds, one after the other joined, it reduces in all at once, a thread in each; orders are for the first.
 */
final class RankProcess {
    /** What it says after each of the first {@value #ROUNDS} rounds of a world. */
    static final String ROUND = "round";

    static final int ROUNDS = 2;

    private static final int PORT = 1; // where each answers nobody
    private static final int PERIOD = 1_009; // a prime: no part of a buffer looks like its neighbour

    private final Backend backend;
    private final World world;
    private final HostBuffer x;
    private final int size;
    private final PrintStream out;

    private RankProcess(Backend backend, World world, int elements, int size, PrintStream out) {
        this.backend = backend;
        this.world = world;
        this.x = HostBuffer.allocate(DataType.F32, elements);
        this.size = size;
        this.out = out;
        for (int i = 0; i < x.size(); i++) {
            x.floats()[i] = i % PERIOD + world.state().rank();
        }
    }

    /** What it is told to do next, a line, or nothing. */
    private interface Orders {
        String next() throws IOException;
    }

    /** Attempt, key, index, size, kind, elements of each world, and the rhythm in milliseconds: beat, suspicion, loss. */
    public static void main(String[] args) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        int size = Integer.parseInt(args[3]);
        RankProcesses.Kind kind = RankProcesses.Kind.valueOf(args[4]);
        UUID attempt = UUID.fromString(args[0]);
        Key key = Key.of(HexFormat.of().parseHex(args[1]));
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(size))
                .withKinds(Set.of(GroupKind.WORLD))
                .withMeetingTimeout(Duration.ofSeconds(60))
                .withOperationTimeout(Duration.ofSeconds(120))
                .withTransports(kind.transports())
                .withEncryption(kind == RankProcesses.Kind.ENCRYPTED);
        Rhythm rhythm = new Rhythm(millis(args[6]), millis(args[7]), millis(args[8]));
        int index = Integer.parseInt(args[2]);
        PipeMeeting meeting = new PipeMeeting(in, out, index, size);
        boolean elsewhere = kind == RankProcesses.Kind.MIXED && index == size - 1;
        Identity identity = elsewhere ? Hellos.ofAnotherHost() : Identity.local();
        List<RankProcess> worlds = new ArrayList<>();
        for (String elements : args[5].split(",")) {
            UUID next = new UUID(attempt.getMostSignificantBits(), attempt.getLeastSignificantBits() + worlds.size());
            Backend backend = backend(kind, meeting, rhythm);
            World world = World.join(meeting, backend, spec.withAttempt(next, key), identity);
            out.println("rank " + world.state().rank());
            world.communicators().controlPlane().serve(PORT, (from, question) -> new CompletableFuture<>());
            worlds.add(new RankProcess(backend, world, Integer.parseInt(elements), size, out));
        }
        for (RankProcess other : worlds.subList(1, worlds.size())) {
            new Thread(() -> other.live(() -> "")).start();
        }
        worlds.get(0).live(() -> in.ready() ? in.readLine() : "");
    }

    /** Reduces until it is told something else or fails, and leaves. */
    private void live(Orders orders) {
        try (backend;
                world) {
            try {
                String order = "";
                for (long round = 0; order.isEmpty(); round++) {
                    world.communicators().world().allReduce(x, ReduceOp.MAX);
                    if (round < ROUNDS) {
                        requireLargest();
                        out.println(ROUND);
                    }
                    order = orders.next();
                }
                obey(order);
            } catch (CommunicatorException end) {
                tell(end);
            } catch (CompletionException end) {
                tell((CommunicatorException) end.getCause());
            } catch (IllegalStateException | IOException end) {
                world.abort(end);
                out.println("over " + end.getMessage());
            }
        }
    }

    private void obey(String order) {
        if (order.startsWith("ask ")) {
            int other = Integer.parseInt(order.substring(4));
            CompletableFuture<byte[]> call =
                    world.communicators().controlPlane().call(other, PORT, new byte[0]);
            out.println("asks");
            call.join();
        }
        switch (order) {
            case "fail" -> throw new IllegalStateException("the row is cursed");
            case "halt" -> Runtime.getRuntime().halt(1);
            case "exit" -> System.exit(0);
            case "differ" -> world.communicators().world().allReduce(x, ReduceOp.SUM);
            default -> {} // leaves in order
        }
    }

    private static Backend backend(RankProcesses.Kind kind, PipeMeeting meeting, Rhythm rhythm) {
        CpuBackend host = CpuBackend.create(Listen.loopback(), rhythm);
        return switch (kind) {
            case NCCL -> OnDeviceBackend.byNccl(meeting, host);
            case KERNELS -> OnDeviceBackend.byKernels(meeting, host);
            case SHARED, TCP, ENCRYPTED, MIXED -> host;
        };
    }

    private void requireLargest() {
        float[] floats = x.floats();
        for (int i = 0; i < floats.length; i++) {
            if (floats[i] != i % PERIOD + size - 1) {
                throw new IllegalStateException("element " + i + " of " + floats.length + " is " + floats[i]);
            }
        }
    }

    private void tell(CommunicatorException end) {
        out.println("over " + end.code() + " " + end.getMessage().replace('\n', '|'));
    }

    private static Duration millis(String text) {
        return Duration.ofMillis(Long.parseLong(text));
    }
}
