package org.lockstep.commit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.reflect.Proxy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.LockstepException;

/** A directory of finished rows through attempts, runs, and what can become of them. */
@Timeout(60)
class CommitLogTest {
    static final Duration BEAT = Duration.ofMillis(40);
    private static final Manifest STORIES = manifest("fable", 10);

    @TempDir
    Path folder;

    private static Manifest manifest(String model, int rows) {
        return new Manifest(
                rows, List.of(new Manifest.Field("model", model), new Manifest.Field("sampling", "greedy")));
    }

    private CommitPlace place() {
        return place(folder.resolve("run"));
    }

    /** What others call a path of this host. */
    CommitPlace place(Path path) {
        return new CommitPlace(path.toString(), Map.of());
    }

    /** The beginning of the name of a file that is being written. */
    String partial() {
        return ".partial-";
    }

    private CommitLog open(Manifest manifest, boolean resume) {
        return CommitLog.open(place(), manifest, resume, "the test", () -> {}, BEAT);
    }

    private static AttemptLog join(CommitLog.Attempt attempt) {
        return AttemptLog.join(attempt).orElseThrow();
    }

    private static void write(CommitLog.Attempt attempt, String writer, long... ids) throws InterruptedException {
        CommitWriter commits = join(attempt).writer(writer);
        for (long id : ids) {
            commits.append(row(id));
        }
        commits.finish();
    }

    private static CommittedRow row(long id) {
        return CommittedRow.completed(id, "story " + id, "stop", 3, 5);
    }

    private static void assertRefused(ErrorCode code, ThrowingCallable call, String... words) {
        assertThatThrownBy(call)
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(code))
                .hasMessageContainingAll(words);
    }

    private List<Path> files(String prefix) throws IOException {
        try (Stream<Path> files = Files.list(folder.resolve("run"))) {
            return files.filter(file -> file.getFileName().toString().startsWith(prefix))
                    .toList();
        }
    }

    @Test
    void aPlaceOfThisHostIsTheSameForTasksInOtherFolders() {
        String here = Path.of("").toAbsolutePath().toString();
        assertThat(CommitPlace.here("kept/run").location()).isEqualTo(here + "/kept/run");
        assertThat(CommitPlace.here("file:///kept/a%20run").location()).isEqualTo("/kept/a run");
        for (String wrong : List.of("file:kept", "file:///a run")) {
            assertRefused(ErrorCode.COMMIT_FAILED, () -> CommitPlace.here(wrong), wrong + " names no directory");
        }
    }

    @Test
    void theNextAttemptHasTheRowsOfThoseBefore() throws InterruptedException {
        try (CommitLog log = open(STORIES, false)) {
            CommitLog.Attempt first = log.begin();
            assertThat(first.done()).isZero();
            write(first, "a", 0, 5, 9);
            write(first, "b", 1);
            assertThat(log.committed()).isEqualTo(4);
            CommitLog.Attempt second = log.begin();
            assertThat(second.number()).isEqualTo(2);
            assertThat(second.done()).isEqualTo(4);
            assertThat(join(second).rows(0, 10)).containsExactlyInAnyOrder(row(0), row(5), row(9), row(1));
            assertThat(join(second).rows(1, 5)).containsExactly(row(1));
            write(second, "a", 2, 5);
            CommitLog.Attempt third = log.begin();
            assertThat(third.done()).as("row 5 is done twice and counts once").isEqualTo(5);
            assertThat(join(third).rows(0, 10)).hasSize(5);
        }
    }

    @Test
    @FaultCase({"F05", "F18"})
    void whatAnEarlierAttemptCommitsTooLateIsRefusedAndDoesNotCount() throws Exception {
        try (CommitLog log = open(STORIES, false)) {
            CommitLog.Attempt first = log.begin();
            write(first, "a", 0);
            AttemptLog zombie = join(first);
            CommitLog.Attempt second = log.begin();

            assertRefused(ErrorCode.STALE_ATTEMPT, () -> AttemptLog.join(first), "attempt 2 has begun");
            CommitWriter late = zombie.writer("zombie");
            late.append(row(7));
            assertRefused(ErrorCode.STALE_ATTEMPT, late::finish, "attempt 1 commits no more");
            // and one that had looked before the second began, and went on only now
            Files.write(
                    folder.resolve("run").resolve(Names.segment(1, "zombie", 0, 8, 8)),
                    Files.readAllBytes(files("segment-1").get(0)));
            assertThat(join(second).rows(0, 10)).containsExactly(row(0));
            assertThat(log.committed()).isEqualTo(1);
        }
    }

    @Test
    @FaultCase("F72")
    void tornSegmentsAndFilesOfOthersAreIgnored() throws Exception {
        KeptRun kept;
        try (CommitLog log = open(STORIES, false)) {
            CommitLog.Attempt first = log.begin();
            write(first, "a", 0, 1, 2);
            write(first, "b", 3, 4);
            Path torn = files("segment-1-b").get(0);
            byte[] whole = Files.readAllBytes(torn);
            Files.write(torn, java.util.Arrays.copyOf(whole, whole.length - 20));
            Files.writeString(folder.resolve("run/segment-1-c-0-5-5"), "no segment");
            Files.writeString(folder.resolve("run/segment-x"), "");
            Files.writeString(folder.resolve("run/notes.txt"), "a user's");
            Files.writeString(folder.resolve("run").resolve(partial() + "dead"), "half");

            CommitLog.Attempt second = log.begin();
            assertThat(second.done()).isEqualTo(4);
            assertThat(join(second).rows(0, 10)).containsExactlyInAnyOrder(row(0), row(1), row(2), row(3));
            // the driver died while it wrote the third attempt's entry
            Files.writeString(folder.resolve("run/attempt-000003"), "half an en");
            assertThat(log.begin().number()).isEqualTo(4);
            assertThat(log.committed()).isEqualTo(4);
            kept = log.kept();
        }
        kept.discard(); // when its owner beats no more, who may write its name after a look at what was there
        try (Stream<Path> left = Files.list(folder.resolve("run"))) {
            assertThat(left.map(file -> file.getFileName().toString()))
                    .containsExactlyInAnyOrder("segment-x", "notes.txt");
        }
    }

    @Test
    @FaultCase("F72")
    void anUnfinishedRunIsGoneOnWithOnlyWhereThatIsSaid() throws Exception {
        try (CommitLog log = open(STORIES, false)) {
            write(log.begin(), "a", 0, 1, 2);
        }
        assertRefused(ErrorCode.COMMIT_UNFINISHED, () -> open(STORIES, false), "3 of 10 rows", "--resume");
        assertRefused(
                ErrorCode.COMMIT_DIFFERS,
                () -> open(manifest("another", 10), true),
                "model: it was fable, now it is another");
        assertRefused(
                ErrorCode.COMMIT_DIFFERS, () -> open(manifest("fable", 11), true), "rows: it was 10, now it is 11");
        try (CommitLog log = open(STORIES, true)) {
            assertThat(log.begin().done()).isEqualTo(3);
            log.finish();
        }
        try (CommitLog log = open(STORIES, true)) {
            assertThat(log.begin().done())
                    .as("a finished run is there as long as it is asked for")
                    .isEqualTo(3);
        }
        KeptRun kept;
        try (CommitLog log = open(manifest("another", 4), false)) {
            assertThat(log.begin().done()).as("and replaced by another one").isZero();
            kept = log.kept();
        }
        kept.discard();
        assertThat(folder.resolve("run")).doesNotExist();
    }

    @Test
    @FaultCase("F72")
    void theSecondOfTwoRunsIsRefusedWhileTheFirstLives() {
        try (CommitLog first = open(STORIES, false)) {
            for (boolean resume : new boolean[] {false, true}) {
                assertRefused(
                        ErrorCode.COMMIT_IN_USE,
                        () -> CommitLog.open(
                                place(), STORIES, resume, "the second", () -> {}), // watches for ten seconds
                        "in use by the test");
            }
            assertThat(first.taken()).isEmpty();
            assertThat(first.begin().number()).isEqualTo(1);
        }
        open(STORIES, true).close();
    }

    /** An owner that is dead has no beat; nothing depends on what time it was on its host. */
    @Test
    @FaultCase({"F13", "F72"})
    void theDirectoryOfADeadOwnerIsTaken() throws Exception {
        try (CommitLog log = open(STORIES, false)) {
            write(log.begin(), "a", 4);
            Files.setLastModifiedTime(
                    folder.resolve("run/owner"),
                    java.nio.file.attribute.FileTime.from(java.time.Instant.parse("2150-01-01T00:00:00Z")));
        }
        Files.write(folder.resolve("run/owner"), Note.encode(List.of("dead", "17", "an application that is gone")));
        try (CommitLog log = open(STORIES, true)) {
            assertThat(log.begin().done()).isEqualTo(1);
        }
    }

    /** As when the host of both was stopped: much time has passed, in which nobody could beat. */
    @Test
    @FaultCase("F72")
    void whoStoodStillWhileItWatchedLooksOn() throws Exception {
        Directory directory = place().open();
        directory.create();
        directory.claim(Names.OWNER, Note.encode(List.of("another", "0", "who lives")));
        int[] looks = new int[1];
        CountDownLatch never = new CountDownLatch(1);
        Directory stopped = (Directory) Proxy.newProxyInstance(
                Directory.class.getClassLoader(), new Class<?>[] {Directory.class}, (self, method, arguments) -> {
                    if (method.getName().equals("read") && ++looks[0] == 2) {
                        never.await(BEAT.multipliedBy(10).toMillis(), TimeUnit.MILLISECONDS);
                    } else if (looks[0] == 3) {
                        directory.overwrite(Names.OWNER, Note.encode(List.of("another", "1", "who lives")));
                    }
                    return method.invoke(directory, arguments);
                });
        assertRefused(
                ErrorCode.COMMIT_IN_USE, () -> Owner.of(stopped, "the next", BEAT, () -> {}), "in use by who lives");
    }

    /** A driver that was frozen for so long that another one took its directory finds that out. */
    @Test
    @FaultCase("F05")
    void anOwnerThatOnlySleptLosesItsDirectory() throws Exception {
        CountDownLatch lost = new CountDownLatch(1);
        try (CommitLog slept = CommitLog.open(place(), STORIES, false, "who slept", lost::countDown, BEAT)) {
            CommitLog.Attempt first = slept.begin();
            do { // a beat that has looked already writes over it, which who takes it finds out
                Files.write(folder.resolve("run/owner"), Note.encode(List.of("another", "0", "who took it")));
            } while (!lost.await(200, TimeUnit.MILLISECONDS));
            assertThat(slept.taken()).isPresent();
            assertRefused(ErrorCode.COMMIT_IN_USE, slept::begin, "another run has taken");
            write(first, "a", 1); // a task of an attempt that is the latest still may: its rows are the same
        }
        assertThat(folder.resolve("run/owner")).as("it is the other's now").exists();
    }

    @Test
    void aDirectoryThatOthersDoNotShareIsFoundOut() throws IOException {
        try (CommitLog log = open(STORIES, false)) {
            CommitLog.Attempt attempt = log.begin();
            CommitLog.Attempt elsewhere = new CommitLog.Attempt(
                    place(folder.resolve("elsewhere")), attempt.run(), attempt.number(), attempt.id(), 0);
            assertThat(AttemptLog.join(elsewhere)).isEmpty();
            assertThat(AttemptLog.join(new CommitLog.Attempt(place(), attempt.run(), attempt.number(), "another", 0)))
                    .isEmpty();
        }
    }

    @Test
    @FaultCase("F59")
    void aDirectoryThatCannotBeIsNamedWithItsRoom() throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "no directory");
        assertRefused(
                ErrorCode.COMMIT_FAILED,
                () -> CommitLog.open(place(file.resolve("below")), STORIES, false, "the test", () -> {}, BEAT),
                file.toString(),
                "bytes are free",
                "spark.lockstep.checkpointDir");
    }

    @Test
    @FaultCase("F59")
    void onAFullDiskWhatIsCommittedStaysGood() throws Exception {
        Path disk = Files.createDirectory(folder.resolve("disk"));
        Assumptions.assumeTrue(
                isDone("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk.toString()),
                "this user may not mount a small file system");
        try {
            CommitPlace place = place(disk.resolve("run"));
            try (CommitLog log =
                    CommitLog.open(place, manifest("fable", 1000), false, "the test", () -> {}, Duration.ofHours(1))) {
                CommitLog.Attempt first = log.begin();
                write(first, "a", 0, 1, 2);
                CommitWriter writer = join(first).writer("b");
                writer.append(CommittedRow.completed(3, "x".repeat(3 << 20), "stop", 3, 5));
                assertRefused(
                        ErrorCode.COMMIT_FAILED,
                        writer::finish,
                        place.toString(),
                        "(3,145,",
                        "bytes are free there",
                        "rows that are committed stay good");
                assertThat(log.committed()).isEqualTo(3);
                write(first, "c", 4);
                assertThat(log.begin().done())
                        .as("there is room for a small one")
                        .isEqualTo(4);
            }
        } finally {
            assertThat(isDone("umount", disk.toString())).isTrue();
        }
    }

    private static boolean isDone(String... words) throws IOException, InterruptedException {
        try {
            return new ProcessBuilder(words)
                            .redirectErrorStream(true)
                            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                            .start()
                            .waitFor()
                    == 0;
        } catch (IOException missing) {
            return false;
        }
    }

    /** As a rank's thread is whose job is cancelled. */
    @Test
    @FaultCase("F14")
    void whoIsInterruptedStillWaitsForItsRows() {
        try (CommitLog log = open(STORIES, false)) {
            CommitWriter writer = join(log.begin()).writer("a");
            writer.append(row(3));
            Thread.currentThread().interrupt();
            writer.abandon(Duration.ofSeconds(20));
            assertThat(Thread.interrupted())
                    .as("the flag is the caller's again")
                    .isTrue();
            assertThat(log.committed()).isEqualTo(1);
        }
    }

    @Test
    void writersOfOneRankAfterAnotherHaveTheirOwnFiles() throws Exception {
        try (CommitLog log = open(STORIES, false)) {
            CommitLog.Attempt attempt = log.begin();
            CommitWriter writer = join(attempt).writer("a");
            writer.append(row(3));
            writer.abandon(Duration.ofSeconds(20));
            assertThat(log.committed()).isEqualTo(1);
            assertThatThrownBy(() -> writer.append(row(4))).isInstanceOf(IllegalStateException.class);
            join(attempt).writer("none").finish();
            assertThat(files("segment")).hasSize(1);
        }
    }
}
