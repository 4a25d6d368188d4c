package org.lockstep.commit;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/** The finished rows of a run as a task of one attempt sees them: those it builds on, and where it puts its own. */
public final class AttemptLog {
    private final Directory directory;
    private final int number;
    private final long run;
    private final List<String> segments;

    private AttemptLog(Directory directory, int number, long run, List<String> segments) {
        this.directory = directory;
        this.number = number;
        this.run = run;
        this.segments = segments;
    }

    /**
     * The attempt that the driver began.
     *
     * @return empty if the directory that this host sees there has no such attempt: it is not the driver's
     * @throws LockstepException COMMIT_FAILED; STALE_ATTEMPT if a later attempt has begun
     */
    public static Optional<AttemptLog> join(CommitLog.Attempt attempt) {
        Directory directory = attempt.place().open();
        try {
            Optional<List<String>> entry = Accepted.entry(directory, attempt.number())
                    .filter(strings -> strings.get(0).equals(attempt.id()));
            if (entry.isEmpty()) {
                return Optional.empty();
            }
            List<String> strings = entry.get();
            long run = Long.parseUnsignedLong(strings.get(1), 16);
            AttemptLog log =
                    new AttemptLog(directory, attempt.number(), run, List.copyOf(strings.subList(2, strings.size())));
            log.requireLatest();
            return Optional.of(log);
        } catch (IOException e) {
            throw CommitLog.failed(directory, "be read", 0, e);
        }
    }

    /**
     * The committed rows with ids from {@code from} to before {@code to}, each once.
     *
     * @throws LockstepException COMMIT_FAILED
     */
    public List<CommittedRow> rows(long from, long to) {
        List<CommittedRow> rows = new ArrayList<>();
        Set<Long> seen = new HashSet<>();
        try {
            for (String name : segments) {
                if (Names.segment(name)
                        .filter(segment -> segment.touches(from, to))
                        .isEmpty()) {
                    continue;
                }
                for (CommittedRow row : Accepted.read(directory, run, name).rows()) {
                    if (row.id() >= from && row.id() < to && seen.add(row.id())) {
                        rows.add(row);
                    }
                }
            }
        } catch (IOException e) {
            throw CommitLog.failed(directory, "be read", 0, e);
        }
        return rows;
    }

    /**
     * Commits rows of this attempt.
     *
     * @param name of letters and digits, of no other writer of this attempt
     */
    public CommitWriter writer(String name) {
        return new CommitWriter(this, name);
    }

    /** Puts rows down for good. */
    void commit(String writer, int sequence, List<CommittedRow> rows) {
        byte[] content = Segment.encode(run, rows);
        String name = Names.segment(
                number,
                writer,
                sequence,
                rows.stream().mapToLong(CommittedRow::id).min().orElseThrow(),
                rows.stream().mapToLong(CommittedRow::id).max().orElseThrow());
        try {
            requireLatest();
            directory.publish(name, content);
        } catch (IOException e) {
            throw CommitLog.failed(directory, "take " + name, content.length, e);
        }
    }

    private void requireLatest() throws IOException {
        if (directory.exists(Names.attempt(number + 1))) {
            throw LockstepException.report(
                            ErrorCode.STALE_ATTEMPT,
                            "attempt " + number + " commits no more to " + directory + ": attempt " + (number + 1)
                                    + " has begun")
                    .attempt("nothing: the later attempt does these rows")
                    .exception();
        }
    }

    @Override
    public String toString() {
        return "attempt " + number + " in " + directory;
    }
}
