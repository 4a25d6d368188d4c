package org.lockstep.spark;

import java.io.IOException;
import java.io.Serial;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Queue;
import java.util.Random;
import java.util.UUID;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.locks.LockSupport;
import org.apache.spark.SparkEnv;
import org.lockstep.collective.Backend;
import org.lockstep.collective.Communicators;
import org.lockstep.collective.Roster;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.Cores;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.Venue;
import org.lockstep.spark.device.BackendFactory;
import org.lockstep.tensor.Kernels;
import org.lockstep.topology.ParallelState;
import org.lockstep.transport.ChaosProxy;
import org.lockstep.transport.Listen;
import org.lockstep.transport.Rhythm;

/**
 * A rank on CPUs whose peers come to a {@link ChaosProxy} before its door, which does what {@link ChaosBlows} say.
 *
 * <p>Ranks are processes that share a folder: there each says which process it is, and a blow that has fallen leaves a file, so
 * that it falls once.
 */
final class ChaosBackend implements Backend {
    static final Rhythm RHYTHM = new Rhythm(Duration.ofMillis(200), Duration.ofMillis(1500), Duration.ofSeconds(7));

    private final CpuBackend real;
    private final ChaosBlows blows;
    private final Path folder;
    private final Queue<ChaosProxy> proxies = new ConcurrentLinkedQueue<>();

    private ChaosBackend(CpuBackend real, ChaosBlows blows, Path folder) {
        this.real = real;
        this.blows = blows;
        this.folder = folder;
    }

    /** Makes one in each task. */
    record Factory(ChaosBlows blows, String folder) implements BackendFactory {
        @Serial
        private static final long serialVersionUID = 1;

        @Override
        public Backend create(InetAddress address) {
            CpuBackend real = CpuBackend.create(Listen.on(address), RHYTHM, Cores.exactly(1));
            return new ChaosBackend(real, blows, Path.of(folder));
        }
    }

    /**
     * A blow that has fallen.
     *
     * @param at in milliseconds since 1970
     * @param executor that was hurt; empty where the network was
     */
    record Fallen(UUID attempt, long at, String executor) {
        static Fallen read(Path file) throws IOException {
            List<String> lines = Files.readAllLines(file);
            return new Fallen(UUID.fromString(lines.get(0)), Long.parseLong(lines.get(1)), lines.get(2));
        }
    }

    static Path fallen(Path folder, int blow) {
        return folder.resolve("fallen-" + blow);
    }

    @Override
    public String name() {
        return real.name();
    }

    @Override
    public Kernels kernels() {
        return real.kernels();
    }

    @Override
    public Endpoint open(Venue venue, WorldSpec spec) {
        Endpoint door = real.open(venue, spec);
        try {
            InetAddress here = InetAddress.getByName(door.addresses().get(0));
            ChaosProxy proxy = new ChaosProxy(here, door.port(), new Network(spec.attempt()));
            proxies.add(proxy);
            return new Before(door, proxy.port(), spec.attempt());
        } catch (IOException failure) {
            door.close();
            throw new UncheckedIOException(failure);
        }
    }

    /** A door that peers reach through the proxy. */
    private final class Before implements Endpoint {
        private final Endpoint door;
        private final int port;
        private final UUID attempt;

        Before(Endpoint door, int port, UUID attempt) {
            this.door = door;
            this.port = port;
            this.attempt = attempt;
        }

        @Override
        public List<String> addresses() {
            return door.addresses();
        }

        @Override
        public int port() {
            return port;
        }

        @Override
        public Communicators connect(Roster roster, ParallelState state) {
            try {
                Files.writeString(
                        rank(attempt, state.rank()),
                        ProcessHandle.current().pid() + "\n" + SparkEnv.get().executorId());
            } catch (IOException failure) {
                throw new UncheckedIOException(failure);
            }
            return door.connect(roster, state);
        }

        @Override
        public void close() {
            door.close();
        }
    }

    private Path rank(UUID attempt, int rank) {
        return folder.resolve("rank-" + attempt + "-" + rank);
    }

    @Override
    public void close() {
        real.close();
        for (ChaosProxy proxy : proxies) {
            try {
                proxy.close();
            } catch (IOException failure) {
                throw new UncheckedIOException(failure);
            }
        }
    }

    /** What happens in one attempt. */
    private final class Network implements ChaosProxy.Chaos {
        private final UUID attempt;
        private final Random random = new Random(blows.seed());

        Network(UUID attempt) {
            this.attempt = attempt;
        }

        @Override
        public ChaosProxy.Chaos on(ChaosProxy.Ends ends) {
            for (int i = 0; i < blows.blows().size(); i++) {
                if (blows.blows().get(i).meets(ends) && isDue(i)) {
                    return new Hurt(i, blows.blows().get(i));
                }
            }
            return this;
        }

        /** The second blow falls in an attempt after the first's. */
        private boolean isDue(int blow) {
            if (Files.exists(fallen(folder, blow))) {
                return false;
            }
            try {
                return blow == 0
                        || (Files.exists(fallen(folder, blow - 1))
                                && !Fallen.read(fallen(folder, blow - 1))
                                        .attempt
                                        .equals(attempt));
            } catch (IOException failure) {
                throw new UncheckedIOException(failure);
            }
        }

        @Override
        public void pass(ChaosProxy.Way way, long before, byte[] bytes, ChaosProxy.Wire wire) throws IOException {
            write(bytes, 0, bytes.length, wire);
        }

        /** Over a network that is slow now and then, and cuts what it carries into pieces. */
        private void write(byte[] bytes, int from, int to, ChaosProxy.Wire wire) throws IOException {
            if (blows.jitters()) {
                LockSupport.parkNanos(nextInt(1_000_000));
            }
            for (int at = from; at < to; ) {
                int piece = blows.fragments() ? Math.min(to - at, 1 + nextInt(4000)) : to - at;
                wire.write(bytes, at, piece);
                at += piece;
            }
        }

        private int nextInt(int bound) {
            synchronized (random) {
                return random.nextInt(bound);
            }
        }

        /** A connection whose bytes bring a blow about. */
        private final class Hurt implements ChaosProxy.Chaos {
            private final int number;
            private final ChaosBlows.Blow blow;

            Hurt(int number, ChaosBlows.Blow blow) {
                this.number = number;
                this.blow = blow;
            }

            @Override
            public void pass(ChaosProxy.Way way, long before, byte[] bytes, ChaosProxy.Wire wire)
                    throws IOException, InterruptedException {
                boolean here = way == blow.way() && before <= blow.place() && before + bytes.length > blow.place();
                if (!here || !fall()) {
                    write(bytes, 0, bytes.length, wire);
                    return;
                }
                int at = (int) (blow.place() - before);
                switch (blow.kind()) {
                    case CORRUPT -> {
                        bytes[at] ^= 0x10;
                        write(bytes, 0, bytes.length, wire);
                    }
                    case CUT -> {
                        write(bytes, 0, at, wire);
                        wire.end();
                    }
                    case RESET -> {
                        write(bytes, 0, at, wire);
                        wire.reset();
                    }
                    case STALL, SILENCE -> {
                        write(bytes, 0, at, wire);
                        wire.freeze();
                    }
                    case KILL, PAUSE, FREEZE, THAW -> {
                        hurt(Files.readAllLines(rank(attempt, blow.victim())).get(0));
                        write(bytes, 0, bytes.length, wire);
                    }
                }
            }

            /** Whether it is this connection by which it falls. */
            private boolean fall() throws IOException {
                String executor = blow.kind().isOfAProcess()
                        ? Files.readAllLines(rank(attempt, blow.victim())).get(1)
                        : "";
                Path written = Files.writeString(
                        Files.createTempFile(folder, "falls", ""),
                        attempt + "\n" + System.currentTimeMillis() + "\n" + executor + "\n");
                try {
                    Files.createLink(fallen(folder, number), written);
                    return true;
                } catch (FileAlreadyExistsException already) {
                    return false;
                } finally {
                    Files.delete(written);
                }
            }

            /** By a process of its own, for this one may be the victim. */
            private void hurt(String process) throws IOException, InterruptedException {
                String stop = "kill -STOP " + process;
                String signals = switch (blow.kind()) {
                    case KILL -> "kill -KILL " + process;
                    case PAUSE -> stop + "; sleep 1.8; kill -CONT " + process; // suspected, not lost
                    case THAW -> stop + "; sleep 14; kill -CONT " + process; // lost long before
                    default -> stop;
                };
                Process shell = new ProcessBuilder("setsid", "sh", "-c", signals).start();
                if (blow.kind() == ChaosBlows.Kind.KILL) {
                    shell.waitFor();
                }
            }
        }
    }
}
