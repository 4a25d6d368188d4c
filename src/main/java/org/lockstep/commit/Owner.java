package org.lockstep.commit;

import java.io.EOFException;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The one run that a directory belongs to.
 *
 * <p>Its file holds a number that counts on while the owner lives. Who finds the file watches it for some beats, on a clock of
 * its own: if the number changes the owner lives, and the other is refused; if not it is taken to be dead, and the other's
 * name is put there. An owner that was only asleep finds that at its next beat, and has lost the directory; what its tasks
 * commit after that is refused by their attempt's number. Thread-safe.
 */
final class Owner implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Owner.class);

    /** Of one who watches, in a beat. */
    private static final int LOOKS = 4;

    /** How long a beat that is under way may take to come to its end. */
    private static final Duration LAST = Duration.ofSeconds(4);

    private final Directory directory;
    private final String id = UUID.randomUUID().toString();
    private final String words;
    private final Duration beat;
    private final Runnable lost;
    private final CountDownLatch closed = new CountDownLatch(1);
    private volatile boolean ours = true;
    private final Thread thread = new Thread(this::beat, "lockstep-owner");

    private Owner(Directory directory, String words, Duration beat, Runnable lost) {
        this.directory = directory;
        this.words = words;
        this.beat = beat;
        this.lost = lost;
    }

    /**
     * Becomes the owner.
     *
     * @param words who that is, for others to read
     * @param beat the time between two beats; a dead owner is watched for five
     * @param lost called at most once, on a thread of this, when another one has taken the directory
     * @throws LockstepException COMMIT_IN_USE if another one owns it and lives
     */
    static Owner of(Directory directory, String words, Duration beat, Runnable lost) throws IOException {
        Owner owner = new Owner(directory, words, beat, lost);
        try {
            if (!directory.claim(Names.OWNER, owner.content(0))) {
                owner.watch();
                directory.overwrite(Names.OWNER, owner.content(0));
                Thread.sleep(beat.toMillis()); // another one that watched may write here at this moment
                if (!owner.isWritten()) {
                    throw inUse(directory, owner.read(), null);
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw LockstepException.report(
                            ErrorCode.CANCELLED,
                            "cancelled while it waited whether the owner of " + directory + " lives")
                    .cause(e)
                    .exception();
        }
        owner.thread.setDaemon(true);
        owner.thread.start();
        return owner;
    }

    /**
     * Returns when the owner that is written there has not moved for five beats. They are counted in looks, not in time: while
     * this process stood still, with its host or with the disk, the owner may have too.
     */
    private void watch() throws IOException, InterruptedException {
        byte @Nullable [] seen = read();
        for (int look = 0; look < 5 * LOOKS; look++) {
            Thread.sleep(Math.max(1, beat.toMillis() / LOOKS));
            byte @Nullable [] now = read();
            if (now != null && !Arrays.equals(seen, now)) {
                throw inUse(directory, now, seen);
            }
        }
    }

    /** By who is written there, or was a moment ago: at a beat a part of the name may be there only. */
    private static LockstepException inUse(Directory directory, byte @Nullable [] content, byte @Nullable [] before) {
        String who = Stream.of(Optional.ofNullable(content), Optional.ofNullable(before))
                .flatMap(Optional::stream)
                .flatMap(bytes -> Note.decode(bytes).stream())
                .filter(strings -> strings.size() == 3)
                .map(strings -> strings.get(2))
                .findFirst()
                .orElse("another run");
        return LockstepException.report(ErrorCode.COMMIT_IN_USE, directory + " is in use by " + who)
                .culprit(who)
                .attempt("wait for that run, or give this one another directory: spark.lockstep.checkpointDir")
                .exception();
    }

    private byte[] content(long count) {
        return Note.encode(List.of(id, Long.toString(count), words));
    }

    private byte @Nullable [] read() throws IOException {
        try {
            return directory.read(Names.OWNER);
        } catch (FileNotFoundException | NoSuchFileException none) {
            return null;
        } catch (EOFException torn) { // that it is written at this moment is a sign of life, if it does not stay so
            return new byte[0];
        }
    }

    private boolean isWritten() throws IOException {
        byte[] content = read();
        return content != null
                && Note.decode(content).filter(note -> note.get(0).equals(id)).isPresent();
    }

    private void beat() {
        long count = 0;
        try {
            while (!closed.await(beat.toMillis(), TimeUnit.MILLISECONDS)) {
                try {
                    if (!isWritten()) {
                        ours = false;
                        lost.run();
                        return;
                    }
                    count++;
                    directory.overwrite(Names.OWNER, content(count));
                } catch (IOException | RuntimeException e) { // it may pass; if it does not, the next commit says so
                    LOG.warn("{} does not take the sign of life of its owner", directory, e);
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Whether no other one has taken the directory, as far as is known. */
    boolean isOurs() {
        return ours;
    }

    /** One that came after the file is deleted would make it anew. */
    private void awaitTheLastBeat() {
        try {
            if (thread != Thread.currentThread()) {
                thread.join(LAST.toMillis());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Gives the directory back. Idempotent. */
    @Override
    public void close() {
        closed.countDown();
        awaitTheLastBeat();
        try {
            if (ours && isWritten()) {
                directory.delete(Names.OWNER);
            }
        } catch (IOException e) { // who comes next finds out by watching
            LOG.warn("{} keeps the name of an owner that is gone", directory, e);
        }
    }
}
