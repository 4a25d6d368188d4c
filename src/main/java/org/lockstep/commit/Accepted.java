package org.lockstep.commit;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * What counts in a directory: the segments that the latest attempt builds on, and its own.
 *
 * @param lastAttempt the largest number of an attempt; 0 if there is none
 * @param segments names of those in which a row is good
 * @param rows how many rows are good, each counted once
 */
record Accepted(int lastAttempt, List<String> segments, int rows) {

    /** Reads all that counts, whole. */
    static Accepted latest(Directory directory, long run, int rows) throws IOException {
        List<String> names = directory.list();
        int last = names.stream().mapToInt(Names::attempt).max().orElse(0);
        Set<String> candidates = new LinkedHashSet<>();
        // An attempt whose entry is torn was never launched: its driver died while writing it.
        for (int number = last; number > 0; number--) {
            int own = number;
            names.stream()
                    .filter(name -> Names.segment(name)
                            .filter(segment -> segment.attempt() == own)
                            .isPresent())
                    .forEach(candidates::add);
            Optional<List<String>> entry = entry(directory, number);
            if (entry.isPresent()) {
                candidates.addAll(entry.get().subList(2, entry.get().size()));
                break;
            }
        }
        BitSet done = new BitSet();
        List<String> good = new ArrayList<>();
        for (String name : candidates) {
            boolean any = false;
            for (CommittedRow row : read(directory, run, name).rows()) {
                if (row.id() < rows) {
                    done.set((int) row.id());
                    any = true;
                }
            }
            if (any) {
                good.add(name);
            }
        }
        return new Accepted(last, List.copyOf(good), done.cardinality());
    }

    /** What an attempt has written down: its id, its run, the segments it builds on; empty if it is not there or torn. */
    static Optional<List<String>> entry(Directory directory, int attempt) throws IOException {
        try {
            return Note.decode(directory.read(Names.attempt(attempt))).filter(strings -> strings.size() >= 2);
        } catch (FileNotFoundException | NoSuchFileException none) {
            return Optional.empty();
        }
    }

    /** A segment; one that is not there any more has no rows. */
    static Segment read(Directory directory, long run, String name) throws IOException {
        try {
            return Segment.decode(run, directory.read(name));
        } catch (FileNotFoundException | NoSuchFileException gone) {
            return new Segment(List.of(), false);
        }
    }
}
