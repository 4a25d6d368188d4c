package org.lockstep.cli.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Sizes in bytes as nccl-tests writes them: {@code 8}, {@code 64K}, {@code 1.5M}, {@code 2G}, by powers of 1024. */
public final class Sizes {
    private static final Pattern FORM = Pattern.compile("(\\d+(?:\\.\\d+)?)\\s*([KMGT]?)B?", Pattern.CASE_INSENSITIVE);
    private static final String SUFFIXES = "KMGT";
    private static final int MOST = 1000;

    private Sizes() {}

    /**
     * Bytes of a text.
     *
     * @throws IllegalArgumentException if it is none
     */
    public static long parse(String text) {
        Matcher found = FORM.matcher(text.strip());
        if (!found.matches()) {
            throw new IllegalArgumentException("'" + text + "' is no size: bytes such as 8, 64K, 16M or 1G");
        }
        int power = SUFFIXES.indexOf(found.group(2).toUpperCase(Locale.ROOT)) + 1;
        return (long) (Double.parseDouble(found.group(1))
                * (1L << (10 * (found.group(2).isEmpty() ? 0 : power))));
    }

    /** From {@code least} to {@code most}, each {@code factor} times the one before; {@code most} need not be one of them. */
    public static List<Long> byFactor(long least, long most, int factor) {
        if (factor < 2) {
            throw new IllegalArgumentException("the factor (" + factor + ") between two sizes must be at least 2");
        }
        List<Long> sizes = new ArrayList<>();
        for (long size = least; size <= most; size = Math.multiplyExact(size, factor)) {
            sizes.add(size);
        }
        return sizes;
    }

    /** From {@code least} to {@code most}, each {@code step} more than the one before. */
    public static List<Long> byStep(long least, long most, long step) {
        if (step < 1 || (most - least) / step >= MOST) {
            throw new IllegalArgumentException(
                    "steps of " + step + " bytes from " + least + " to " + most + " are not 1 to " + MOST + " sizes");
        }
        List<Long> sizes = new ArrayList<>();
        for (long size = least; size <= most; size = Math.addExact(size, step)) {
            sizes.add(size);
        }
        return sizes;
    }
}
