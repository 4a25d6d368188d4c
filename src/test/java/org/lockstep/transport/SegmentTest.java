package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.ErrorCode;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Hello;
import org.lockstep.collective.Hellos;
import org.lockstep.collective.Roster;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.Venue;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.ProcessGroup;

/** How ranks come to share memory, and what is left if one of them does not come: nothing. */
@Timeout(30)
class SegmentTest {
    private static final Path FOLDER = Path.of("/dev/shm");
    private static final ProcessGroup GROUP = ProcessGroup.of("world", 0, 0, 1);

    private final WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2))
            .withKinds(Set.of(GroupKind.WORLD))
            .withTransports(Set.of(TransportKind.SHARED));
    private final Path made = FOLDER.resolve(Segment.name(spec, GROUP, 0)); // those of other processes come and go
    private final Fate fate = Fate.of(new Venue(), spec.attempt(), 1);

    private Roster roster() {
        List<String> records = new ArrayList<>();
        for (int rank = 0; rank < 2; rank++) {
            Hello hello = Hellos.of(spec, rank, rank, List.of("127.0.0.1"), 1 + rank);
            records.add(hello.encode(spec.key()));
        }
        return Roster.of(records, spec);
    }

    private Segment of(int rank, Duration limit) {
        return Segment.of(roster(), GROUP, rank, spec, fate, Deadline.in(limit));
    }

    @AfterEach
    void nothingIsMappedAndNothingHasAName() throws IOException {
        String name = made.getFileName().toString();
        assertThat(Files.readAllLines(Path.of("/proc/self/maps"))).noneMatch(line -> line.contains(name));
        assertThat(FOLDER.toFile().list((folder, each) -> each.startsWith(name)))
                .isEmpty();
    }

    @Test
    void whoIsFirstWaitsForTheLastSoThatItMayLeaveAtOnce() throws Exception {
        CompletableFuture<Segment> first = CompletableFuture.supplyAsync(() -> of(0, Duration.ofSeconds(20)));
        await().atMost(Duration.ofSeconds(20)).until(() -> Files.exists(made));
        assertThat(first).isNotDone();
        try (Segment late = of(1, Duration.ofSeconds(20))) {
            try (Segment early = first.get(20, TimeUnit.SECONDS)) {
                early.leave(0, true);
            }
            Link link = late.link(1, 0);
            Failed failure = catchThrowableOfType(Failed.class, link::check);
            assertThat(failure.verdict().code()).isEqualTo(ErrorCode.PEER_LOST);
        }
    }

    @Test
    void whoGivesUpInTheMiddleIsMissedThoughNobodyTellsWhy() throws Exception {
        CompletableFuture<Segment> first = CompletableFuture.supplyAsync(() -> of(0, Duration.ofSeconds(20)));
        try (Segment late = of(1, Duration.ofSeconds(20));
                Segment early = first.get(20, TimeUnit.SECONDS)) {
            Link link = late.link(1, 0);
            link.check();
            early.leave(0, false);
            link.check(); // who knows why may tell first
            long later = System.nanoTime() + 2 * Door.GRACE.toNanos();
            while (System.nanoTime() - later < 0) {
                LockSupport.parkNanos(later - System.nanoTime());
            }
            link.check(); // who stood still has not heard it
            await().until(() -> catchThrowable(link::check) instanceof Failed);
            Failed failure = catchThrowableOfType(Failed.class, link::check);
            assertThat(failure.verdict().code()).isEqualTo(ErrorCode.PEER_LOST);
            assertThat(failure).hasMessageContaining("rank 0 is gone");
        }
    }

    @Test
    void whoDoesNotComeToMapItIsNamed() {
        CommunicatorException failure =
                catchThrowableOfType(CommunicatorException.class, () -> of(0, Duration.ofMillis(100)));
        assertThat(failure.code()).isEqualTo(ErrorCode.RENDEZVOUS_TIMEOUT);
        assertThat(failure).hasMessageContaining("not mapped by all in 0.1").hasMessageContaining("culprit : rank 1");
    }

    @Test
    void whoDoesNotComeToMakeItIsNamed() {
        CommunicatorException failure =
                catchThrowableOfType(CommunicatorException.class, () -> of(1, Duration.ofMillis(100)));
        assertThat(failure.code()).isEqualTo(ErrorCode.RENDEZVOUS_TIMEOUT);
        assertThat(failure).hasMessageContaining("not made in 0.1").hasMessageContaining("culprit : rank 0");
    }

    @Test
    void anInterruptEndsTheWait() {
        for (int rank = 0; rank < 2; rank++) {
            int mine = rank;
            Thread.currentThread().interrupt();
            CommunicatorException failure =
                    catchThrowableOfType(CommunicatorException.class, () -> of(mine, Duration.ofSeconds(20)));
            assertThat(Thread.interrupted()).isTrue();
            assertThat(failure.code()).isEqualTo(ErrorCode.ABORTED);
            assertThat(failure).hasMessageContaining("rank " + mine + " was interrupted while connecting");
        }
    }

    @Test
    void aSealedFateEndsTheWait() {
        Verdict verdict = Verdict.aborted(7, 0, new IllegalStateException("boom"));
        fate.seal(verdict);
        for (int rank = 0; rank < 2; rank++) {
            int mine = rank;
            Failed failure = catchThrowableOfType(Failed.class, () -> of(mine, Duration.ofSeconds(20)));
            assertThat(failure.verdict()).isEqualTo(verdict);
        }
    }

    @Test
    void aFileOfAnotherKindIsRefused() throws Exception {
        CompletableFuture<Segment> first = CompletableFuture.supplyAsync(() -> of(0, Duration.ofSeconds(20)));
        await().atMost(Duration.ofSeconds(20)).until(() -> Files.exists(made));
        Path other = Files.write(FOLDER.resolve(made.getFileName() + ".other"), new byte[] {1, 2, 3});
        Files.move(other, made, StandardCopyOption.ATOMIC_MOVE); // the first rank keeps what it has mapped
        CommunicatorException failure =
                catchThrowableOfType(CommunicatorException.class, () -> of(1, Duration.ofSeconds(20)));
        assertThat(failure.code()).isEqualTo(ErrorCode.RENDEZVOUS_FAILED);
        assertThat(failure).hasMessageContaining(made + " of 3 bytes is not this group's");
        fate.seal(Verdict.aborted(1, 0, failure));
        assertThat(catchThrowableOfType(Exception.class, () -> first.get(20, TimeUnit.SECONDS)))
                .hasCauseInstanceOf(Failed.class);
    }
}
