package org.lockstep.transport;

import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Roster;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.WorldSpec;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.ProcessGroup;
import org.slf4j.LoggerFactory;

/** A process that has as many files open as it may when a rank of it first needs a connection; prints how that ended. */
final class FewFiles {
    private static final WorldSpec SPEC = WorldSpec.of(ParallelSizes.tensor(2))
            .withKinds(Set.of(GroupKind.WORLD))
            .withTransports(Set.of(TransportKind.TCP));
    private static final ProcessGroup GROUP = ProcessGroup.of("world", 0, 0, 1);
    private static final Links.Id LINK = new Links.Id(Verdict.groupId(GROUP), 1);

    private final Listeners door = Listeners.bind(Listen.loopback());
    private final Links links = new Links();
    private final Selector selector = Selector.open();
    private final Doorkeeper keeper;
    private final List<SocketChannel> opened = new ArrayList<>();

    private FewFiles() throws IOException {
        Roster roster = Rosters.of(SPEC, Listen.loopback().literals(), door.port(), door.port());
        keeper = new Doorkeeper(roster, 0, SPEC, door, Set.of(LINK), links);
        keeper.begin(selector);
    }

    /** @param words what happens then: {@code call}, {@code visit}, or {@code visits} where one guest is there already */
    public static void main(String[] words) throws Exception {
        loadClasses();
        LoggerFactory.getLogger(FewFiles.class)
                .info("{} can log", words[0]); // which takes files of its own the first time
        FewFiles process = new FewFiles();
        switch (words[0]) {
            case "call" -> process.call();
            case "visit" -> process.visit();
            default -> process.visits();
        }
    }

    /** Each would need a file of its own. */
    private static void loadClasses() throws ClassNotFoundException {
        ClassLoader loader = FewFiles.class.getClassLoader();
        for (String place : System.getProperty("java.class.path").split(File.pathSeparator)) {
            for (String room : List.of("org/lockstep", "org/lockstep/collective", "org/lockstep/transport")) {
                String[] files = Path.of(place, room).toFile().list((folder, name) -> name.endsWith(".class"));
                for (String file : files == null || place.contains("test-classes") ? new String[0] : files) {
                    Class.forName(room.replace('/', '.') + "." + file.replace(".class", ""), true, loader);
                }
            }
        }
    }

    private void exhaust() {
        try {
            while (true) {
                opened.add(SocketChannel.open());
            }
        } catch (IOException full) {
            System.out.println("opened " + opened.size());
        }
    }

    private void turn() throws IOException {
        selector.select(1);
        for (SelectionKey ready : selector.selectedKeys()) {
            ((OnReady) ready.attachment()).proceed(ready);
        }
        selector.selectedKeys().clear();
        keeper.turn();
    }

    private void call() throws IOException {
        TcpLinks all = new TcpLinks(GROUP, 0, links, () -> {}, Duration.ZERO);
        exhaust();
        all.link(1);
        while (links.failure(LINK) == null) {
            turn();
        }
        try {
            all.link(1);
        } catch (Failed failed) {
            Verdict verdict = failed.verdict();
            System.out.println(verdict.code() + " of " + verdict.firstCause().culprit() + ": " + verdict.text());
        }
    }

    private SocketChannel stranger() throws IOException {
        SocketChannel stranger = SocketChannel.open();
        opened.add(stranger);
        return stranger;
    }

    private void connect(SocketChannel stranger) throws IOException {
        stranger.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), door.port()));
        stranger.configureBlocking(false);
    }

    private void visit() throws IOException {
        SocketChannel stranger = stranger();
        exhaust();
        connect(stranger);
        try {
            while (true) {
                turn();
            }
        } catch (CommunicatorException failure) {
            System.out.println(failure.code() + ": " + failure.summary() + " try " + failure.advice());
        }
    }

    private void visits() throws IOException {
        SocketChannel first = stranger();
        SocketChannel second = stranger();
        connect(first);
        while (!keeper.isBusy()) {
            turn();
        }
        exhaust();
        connect(second);
        while (first.read(ByteBuffer.allocate(1)) == 0) {
            turn();
        }
        while (!keeper.isBusy()) {
            turn();
        }
        System.out.println("the second is there");
    }
}
