package org.lockstep.transport;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HexFormat;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.lockstep.collective.Backend;
import org.lockstep.collective.CommunicatorException;
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
 */
final class RankProcess {
    private static final int PORT = 1; // where each answers nobody
    private static final int PERIOD = 1_009; // a prime: no part of a buffer looks like its neighbour

    private RankProcess() {}

    /** Attempt, key, index, size, kind, elements, and the rhythm in milliseconds: beat, suspicion, loss. */
    public static void main(String[] args) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        int size = Integer.parseInt(args[3]);
        RankProcesses.Kind kind = RankProcesses.Kind.valueOf(args[4]);
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(size))
                .withAttempt(UUID.fromString(args[0]), Key.of(HexFormat.of().parseHex(args[1])))
                .withKinds(Set.of(GroupKind.WORLD))
                .withMeetingTimeout(Duration.ofSeconds(60))
                .withOperationTimeout(Duration.ofSeconds(120))
                .withTransports(kind.transports())
                .withEncryption(kind == RankProcesses.Kind.ENCRYPTED);
        Rhythm rhythm = new Rhythm(millis(args[6]), millis(args[7]), millis(args[8]));
        int index = Integer.parseInt(args[2]);
        PipeMeeting meeting = new PipeMeeting(in, out, index, size);
        Identity here = Identity.local();
        boolean elsewhere = kind == RankProcesses.Kind.MIXED && index == size - 1;
        Identity identity = elsewhere ? here.withHost(here.bootId() + 1, here.hostName() + "-2") : here;
        try (Backend backend = backend(kind, meeting, rhythm);
                World world = World.join(meeting, backend, spec, identity)) {
            out.println("rank " + world.state().rank());
            world.communicators().controlPlane().serve(PORT, (from, question) -> new CompletableFuture<>());
            HostBuffer x = HostBuffer.allocate(DataType.F32, Integer.parseInt(args[5]));
            for (int i = 0; i < x.size(); i++) {
                x.floats()[i] = i % PERIOD + world.state().rank();
            }
            String order = "";
            try {
                for (long round = 0; order.isEmpty(); round++) {
                    world.communicators().world().allReduce(x, ReduceOp.MAX);
                    if (round < 3) {
                        requireLargest(x, size);
                        out.println("round");
                    }
                    if (in.ready()) {
                        order = in.readLine();
                    }
                }
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
            } catch (CommunicatorException end) {
                tell(end, out);
            } catch (CompletionException end) {
                tell((CommunicatorException) end.getCause(), out);
            } catch (IllegalStateException end) {
                world.abort(end);
                out.println("over " + end.getMessage());
            }
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

    private static void requireLargest(HostBuffer x, int size) {
        float[] floats = x.floats();
        for (int i = 0; i < floats.length; i++) {
            if (floats[i] != i % PERIOD + size - 1) {
                throw new IllegalStateException("element " + i + " of " + floats.length + " is " + floats[i]);
            }
        }
    }

    private static void tell(CommunicatorException end, PrintStream out) {
        out.println("over " + end.code() + " " + end.getMessage().replace('\n', '|'));
    }

    private static Duration millis(String text) {
        return Duration.ofMillis(Long.parseLong(text));
    }
}
