package org.lockstep.spark.preflight;

import java.io.IOException;
import java.io.Serializable;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Descriptors of one process: how many it has open, and may have. Of Linux; elsewhere nothing is known. Immutable.
 *
 * @param open now
 * @param limit {@link Long#MAX_VALUE} where there is none
 */
public record Descriptors(long open, long limit) implements Serializable {
    private static final Path LIMITS = Path.of("/proc/self/limits");
    private static final Path OPEN = Path.of("/proc/self/fd");
    private static final Pattern FILES = Pattern.compile("Max open files\\s+(\\d+|unlimited)\\s.*");

    /** A listener, a selector of two pipes each for connecting, control and each group, and a segment of shared memory. */
    private static final int OF_A_RANK = 16;

    /** Ranks of a group up to so many are all connected with each other; in a larger one at first as far as powers of two reach. */
    private static final int DIRECT = 128;

    /** Of this process; empty where the system does not say. */
    public static OptionalLong limitOf(List<String> limits) {
        return limits.stream()
                .map(FILES::matcher)
                .filter(Matcher::matches)
                .mapToLong(
                        found -> found.group(1).equals("unlimited") ? Long.MAX_VALUE : Long.parseLong(found.group(1)))
                .findFirst();
    }

    /** Of this process; no limit where the system does not say. */
    static Descriptors here() {
        try (Stream<Path> open = Files.list(OPEN)) {
            return new Descriptors(
                    open.count(), limitOf(Files.readAllLines(LIMITS)).orElse(Long.MAX_VALUE));
        } catch (IOException unknown) {
            return new Descriptors(0, Long.MAX_VALUE);
        }
    }

    /**
     * What ranks will open in one process at most, as if every other rank were reached over a socket.
     *
     * @param ranks in the process
     * @param groups sizes of the groups of each
     * @param files of the model that each holds open while it loads
     */
    public static long needed(int ranks, List<Integer> groups, int files) {
        long links = groups.stream().mapToLong(Descriptors::links).sum();
        return ranks * (links + files + OF_A_RANK);
    }

    /** Connections of a rank in a group: with everybody, or those whose distance is a power of two either way. */
    private static long links(int size) {
        return size <= DIRECT
                ? size - 1
                : IntStream.range(1, size)
                        .filter(distance -> Integer.bitCount(distance) == 1 || Integer.bitCount(size - distance) == 1)
                        .count();
    }

    /** How many are missing for so many more; 0 if there are enough. */
    public long missing(long more) {
        return limit == Long.MAX_VALUE ? 0 : Math.max(0, open + more - limit);
    }
}
