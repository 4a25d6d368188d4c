package org.lockstep.cli;

import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.cli.bench.Sizes;
import org.lockstep.tensor.DataType;
import picocli.CommandLine.Option;

/** Which sizes are measured, under the names of nccl-tests. */
@OptionGroup("Sizes")
final class SizeOptions {
    private static final int DEFAULT_FACTOR = 4;
    private static final long DEFAULT_LEAST = 8;
    private static final long DEFAULT_MOST = 16 << 20;
    private static final int MOST_ELEMENTS = Integer.MAX_VALUE - 8;

    @Option(
            names = {"-b", "--minbytes"},
            paramLabel = "BYTES",
            description = "Smallest size; K, M and G stand for powers of 1024 (default: 8).")
    private @Nullable String least;

    @Option(
            names = {"-e", "--maxbytes"},
            paramLabel = "BYTES",
            description = "Largest size (default: 16M).")
    private @Nullable String most;

    @Option(
            names = {"-f", "--stepfactor"},
            paramLabel = "N",
            description = "Each size is so many times the one before (default: 4).")
    private @Nullable Integer factor;

    @Option(
            names = {"-i", "--stepbytes"},
            paramLabel = "BYTES",
            description = "Each size is so much more than the one before; instead of -f.")
    private @Nullable String step;

    @Option(
            names = "--sizes",
            paramLabel = "BYTES",
            split = ",",
            description = "These sizes, such as 4,1K,1M; instead of -b -e -f -i.")
    private List<String> listed = List.of();

    /**
     * The sizes in bytes, for elements of a type.
     *
     * @param others to take instead of what was given, if any
     * @throws IllegalArgumentException for sizes that cannot be
     */
    List<Long> of(DataType elements, List<String> others) {
        List<Long> all = chosen(elements, others.isEmpty() ? listed : others);
        for (long size : all) {
            require(
                    size >= elements.bytes(),
                    "a size of " + size + " bytes is below that of one " + elements + " (" + elements.bytes() + ")");
            require(
                    size / elements.bytes() < MOST_ELEMENTS,
                    "a size of " + size + " bytes is above 2^31 elements of " + elements);
        }
        return all;
    }

    private List<Long> chosen(DataType elements, List<String> words) {
        if (!words.isEmpty()) {
            return words.stream().map(Sizes::parse).toList();
        }
        long first = least == null ? Math.max(DEFAULT_LEAST, elements.bytes()) : Sizes.parse(least);
        long last = most == null ? Math.max(DEFAULT_MOST, first) : Sizes.parse(most);
        require(first > 0, "--minbytes (" + first + ") must be positive");
        require(first <= last, "--minbytes (" + first + ") is above --maxbytes (" + last + ")");
        require(factor == null || step == null, "--stepfactor and --stepbytes exclude each other");
        return step != null
                ? Sizes.byStep(first, last, Sizes.parse(step))
                : Sizes.byFactor(first, last, factor != null ? factor : DEFAULT_FACTOR);
    }

    private static void require(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(otherwise);
        }
    }
}
