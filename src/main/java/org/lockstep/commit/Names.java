package org.lockstep.commit;

import java.util.Locale;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The names of files in a directory of committed rows. */
final class Names {
    static final String OWNER = "owner";
    static final String MANIFEST = "manifest";
    static final String FINISHED = "finished";

    private static final Pattern ATTEMPT = Pattern.compile("attempt-(\\d{6})");
    private static final Pattern SEGMENT =
            Pattern.compile("segment-(\\d{1,6})-([A-Za-z0-9.]+)-(\\d{1,9})-([0-9a-f]{1,8})-([0-9a-f]{1,8})");

    private Names() {}

    /**
     * What a segment's name says.
     *
     * @param attempt its number
     * @param first the smallest row id in it
     * @param last the largest
     */
    record OfSegment(int attempt, long first, long last) {
        boolean touches(long from, long to) {
            return first < to && last >= from;
        }
    }

    static String attempt(int number) {
        return String.format(Locale.ROOT, "attempt-%06d", number);
    }

    /** The number of an attempt; 0 if the name is of something else. */
    static int attempt(String name) {
        Matcher attempt = ATTEMPT.matcher(name);
        return attempt.matches() ? Integer.parseInt(attempt.group(1)) : 0;
    }

    static String segment(int attempt, String writer, int sequence, long first, long last) {
        return "segment-" + attempt + "-" + writer + "-" + sequence + "-" + Long.toHexString(first) + "-"
                + Long.toHexString(last);
    }

    static Optional<OfSegment> segment(String name) {
        Matcher segment = SEGMENT.matcher(name);
        return segment.matches()
                ? Optional.of(new OfSegment(
                        Integer.parseInt(segment.group(1)),
                        Long.parseLong(segment.group(4), 16),
                        Long.parseLong(segment.group(5), 16)))
                : Optional.empty();
    }

    /** Whether a file of this name is one of ours. */
    static boolean isOurs(String name) {
        return name.equals(OWNER)
                || name.equals(MANIFEST)
                || name.equals(FINISHED)
                || attempt(name) > 0
                || segment(name).isPresent();
    }
}
