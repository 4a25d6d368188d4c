package org.lockstep.commit;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.Serializable;
import java.nio.file.NoSuchFileException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.UUID;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * The finished rows of a run as its driver sees them: whose they are, which attempt goes on, how many there are.
 *
 * <p>Confined to the driver's thread, but for {@link #taken}.
 */
public final class CommitLog implements AutoCloseable {
    private static final Duration BEAT = Duration.ofSeconds(2);

    private final Directory directory;
    private final CommitPlace place;
    private final Manifest manifest;
    private final Owner owner;
    private final long run;

    private CommitLog(Directory directory, CommitPlace place, Manifest manifest, Owner owner, long run) {
        this.directory = directory;
        this.place = place;
        this.manifest = manifest;
        this.owner = owner;
        this.run = run;
    }

    /**
     * An attempt that may begin.
     *
     * @param run tells its run from others on this directory; a random number, the same in all attempts, resumed ones too
     * @param number 1 and up, over all runs on this directory
     * @param id no other attempt has it
     * @param done rows that are committed already
     */
    public record Attempt(CommitPlace place, long run, int number, String id, int done) implements Serializable {}

    /**
     * Takes the directory for a run: an empty one, one whose run is finished, or to go on with an unfinished one.
     *
     * @param resume whether to go on with what is there; where nothing is, the run begins
     * @param owner who the run is, in words for others
     * @param lost called at most once, from another thread, when another run has taken the directory from this one
     * @throws LockstepException COMMIT_IN_USE if a live run has it; COMMIT_UNFINISHED if an unfinished run is there and this
     *     shall not go on with it; COMMIT_DIFFERS, naming the field, if it is another run; COMMIT_FAILED if it cannot be
     *     written to
     */
    public static CommitLog open(CommitPlace place, Manifest manifest, boolean resume, String owner, Runnable lost) {
        return open(place, manifest, resume, owner, lost, BEAT);
    }

    static CommitLog open(
            CommitPlace place, Manifest manifest, boolean resume, String owner, Runnable lost, Duration beat) {
        Directory directory = place.open();
        Owner taken = null;
        try {
            directory.create();
            taken = Owner.of(directory, owner, beat, lost);
            CommitLog log = new CommitLog(directory, place, manifest, taken, run(directory, manifest, resume));
            directory.sweep();
            taken = null;
            return log;
        } catch (IOException e) {
            throw failed(directory, "be used", 0, e);
        } finally {
            if (taken != null) {
                taken.close();
            }
        }
    }

    /** The number of the run that goes on or begins. */
    private static long run(Directory directory, Manifest manifest, boolean resume) throws IOException {
        Optional<List<String>> there = note(directory, Names.MANIFEST);
        if (there.isPresent()) {
            List<String> strings = there.get();
            long run = Long.parseUnsignedLong(strings.get(0), 16);
            Manifest old = Manifest.of(strings.subList(1, strings.size()))
                    .orElseThrow(() -> new IOException("its manifest is of another version"));
            if (resume) {
                Optional<String> difference = manifest.difference(old);
                if (difference.isPresent()) {
                    throw LockstepException.report(
                                    ErrorCode.COMMIT_DIFFERS,
                                    directory + " holds another run, which differs in " + difference.get())
                            .attempt("the same command as before, or another directory: spark.lockstep.checkpointDir")
                            .exception();
                }
                return run;
            }
            if (!directory.exists(Names.FINISHED)) {
                int done = Accepted.latest(directory, run, old.rows()).rows();
                throw LockstepException.report(
                                ErrorCode.COMMIT_UNFINISHED,
                                String.format(
                                        Locale.ROOT,
                                        "%s holds an unfinished run: %,d of %,d rows",
                                        directory,
                                        done,
                                        old.rows()))
                        .attempt(
                                "--resume (spark.lockstep.resume=true) to go on with it; to begin anew remove it, or give"
                                        + " another directory")
                        .exception();
            }
        }
        clear(directory, Names.OWNER);
        long run = UUID.randomUUID().getMostSignificantBits();
        List<String> strings = new ArrayList<>(List.of(Long.toUnsignedString(run, 16)));
        strings.addAll(manifest.strings());
        directory.publish(Names.MANIFEST, Note.encode(strings));
        return run;
    }

    /** A small file; empty if it is not there or torn. */
    static Optional<List<String>> note(Directory directory, String name) throws IOException {
        try {
            return Note.decode(directory.read(name));
        } catch (FileNotFoundException | NoSuchFileException none) {
            return Optional.empty();
        }
    }

    /** Removes what is ours; a manifest last, since without it nothing else counts. */
    static void clear(Directory directory, @Nullable String but) throws IOException {
        for (String name : directory.list()) {
            if (Names.isOurs(name) && !name.equals(Names.MANIFEST) && !name.equals(but)) {
                directory.delete(name);
            }
        }
        directory.delete(Names.MANIFEST);
    }

    /**
     * Begins the next attempt: whatever an earlier one commits from now on does not count.
     *
     * @throws LockstepException COMMIT_FAILED; COMMIT_IN_USE if another run has taken the directory
     */
    public Attempt begin() {
        Optional<LockstepException.Report> taken = taken();
        if (taken.isPresent()) {
            throw taken.get().exception();
        }
        try {
            Accepted accepted = Accepted.latest(directory, run, manifest.rows());
            int number = accepted.lastAttempt() + 1;
            String id = UUID.randomUUID().toString();
            List<String> strings = new ArrayList<>(List.of(id, Long.toUnsignedString(run, 16)));
            strings.addAll(accepted.segments());
            if (!directory.claim(Names.attempt(number), Note.encode(strings))) {
                throw LockstepException.report(
                                ErrorCode.COMMIT_IN_USE, "another run has begun attempt " + number + " in " + directory)
                        .attempt("give each run its own directory: spark.lockstep.checkpointDir")
                        .exception();
            }
            return new Attempt(place, run, number, id, accepted.rows());
        } catch (IOException e) {
            throw failed(directory, "begin an attempt", 0, e);
        }
    }

    /** How many rows are committed now. */
    public int committed() {
        try {
            return Accepted.latest(directory, run, manifest.rows()).rows();
        } catch (IOException e) {
            throw failed(directory, "be read", 0, e);
        }
    }

    /** COMMIT_IN_USE if another run has taken the directory. From any thread. */
    public Optional<LockstepException.Report> taken() {
        return owner.isOurs()
                ? Optional.empty()
                : Optional.of(LockstepException.report(
                                ErrorCode.COMMIT_IN_USE,
                                "another run has taken " + directory + ", as this one gave no sign of life")
                        .attempt("let that run end; it goes on with the rows of this one"));
    }

    /** All rows are there; the next run on this directory may replace them. */
    public void finish() {
        try {
            directory.claim(Names.FINISHED, Note.encode(List.of()));
        } catch (IOException e) {
            throw failed(directory, "be finished", 0, e);
        }
    }

    /** Where the rows are, for when the run is over. */
    public KeptRun kept() {
        return new KeptRun(place, run);
    }

    /** Gives the directory back; the rows stay. Idempotent. */
    @Override
    public void close() {
        owner.close();
    }

    /** What could not be done in a directory, and how much room there is. */
    static LockstepException failed(Directory directory, String what, int bytes, IOException why) {
        String room;
        try {
            room = String.format(Locale.ROOT, "%,d bytes are free there", directory.free());
        } catch (IOException unknown) {
            why.addSuppressed(unknown);
            room = "how much room is there is not known";
        }
        String reason =
                why.getMessage() == null ? why.toString() : why.getClass().getSimpleName() + ": " + why.getMessage();
        return LockstepException.report(
                        ErrorCode.COMMIT_FAILED,
                        directory + " cannot " + what
                                + (bytes == 0 ? "" : String.format(Locale.ROOT, " (%,d bytes)", bytes)) + ": " + reason
                                + "; " + room)
                .attempt("room and permission there, or another directory: spark.lockstep.checkpointDir; rows that are"
                        + " committed stay good")
                .cause(why)
                .exception();
    }
}
