package org.lockstep.spark.settings;

import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.Function;
import java.util.function.ToIntFunction;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.spark.SparkConf;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.TransportKind;

/**
 * One key of the configuration: its name, meaning and default, defined once.
 *
 * @param key begins with {@code spark.lockstep.}, else spark-submit would drop it
 * @param fallback the default, in the form a user would write
 * @param parse throws {@link IllegalArgumentException} for what is no such value
 */
public record Setting<T>(String key, String fallback, String meaning, Function<String, T> parse) {
    private static final Pattern TIME = Pattern.compile("(\\d{1,9})\\s*(ms|s|m|min|h)");
    private static final Pattern SIZE = Pattern.compile("(\\d{1,15})\\s*([kmgt]?)b?");

    static Setting<Duration> time(String key, String fallback, String meaning) {
        return new Setting<>(key, fallback, meaning, Setting::parseTime);
    }

    /** A time that may be {@code 0s}, for never. */
    static Setting<Duration> timeOrZero(String key, String fallback, String meaning) {
        return new Setting<>(key, fallback, meaning, Setting::parseTimeOrZero);
    }

    /** A time that may be {@code auto}, which is empty. */
    static Setting<Optional<Duration>> timeOrAuto(String key, String meaning) {
        return new Setting<>(
                key,
                "auto",
                meaning,
                text -> text.trim().equalsIgnoreCase("auto") ? Optional.empty() : Optional.of(parseTime(text)));
    }

    static Setting<Long> bytes(String key, String fallback, String meaning) {
        return new Setting<>(key, fallback, meaning, Setting::parsePositiveBytes);
    }

    /** A size that may be {@code auto}, which is empty. */
    static Setting<OptionalLong> bytesOrAuto(String key, String meaning) {
        return new Setting<>(
                key,
                "auto",
                meaning,
                text -> text.trim().equalsIgnoreCase("auto")
                        ? OptionalLong.empty()
                        : OptionalLong.of(parseBytes(text)));
    }

    static Setting<Integer> count(String key, int fallback, String meaning) {
        return new Setting<>(key, Integer.toString(fallback), meaning, Setting::parseCount);
    }

    /** A number that may be {@code auto}, which is empty. */
    static Setting<OptionalInt> countOrAuto(String key, String meaning) {
        return numberOrAuto(key, meaning, Setting::parseCount);
    }

    /** The same, from zero on. */
    static Setting<OptionalInt> countFromZeroOrAuto(String key, String meaning) {
        return numberOrAuto(key, meaning, Setting::parseCountFromZero);
    }

    private static Setting<OptionalInt> numberOrAuto(String key, String meaning, ToIntFunction<String> number) {
        return new Setting<>(
                key,
                "auto",
                meaning,
                text -> text.trim().equalsIgnoreCase("auto")
                        ? OptionalInt.empty()
                        : OptionalInt.of(number.applyAsInt(text)));
    }

    static Setting<Boolean> flag(String key, boolean fallback, String meaning) {
        return new Setting<>(key, Boolean.toString(fallback), meaning, Setting::parseFlag);
    }

    static Setting<Integer> port(String key, int fallback, String meaning) {
        return new Setting<>(key, Integer.toString(fallback), meaning, Setting::parsePort);
    }

    static Setting<String> text(String key, String fallback, String meaning) {
        return new Setting<>(key, fallback, meaning, Setting::parseText);
    }

    static Setting<String> choice(String key, String fallback, String meaning, String... choices) {
        List<String> all = List.of(choices);
        return new Setting<>(key, fallback, meaning, text -> parseChoice(text, all));
    }

    static Setting<Set<TransportKind>> transports(String key, String fallback, String meaning) {
        return new Setting<>(key, fallback, meaning, Setting::parseTransports);
    }

    static Setting<DeviceChoice> device(String key, String meaning) {
        List<String> all =
                Arrays.stream(DeviceChoice.values()).map(DeviceChoice::toString).toList();
        return new Setting<>(
                key,
                DeviceChoice.AUTO.toString(),
                meaning,
                text -> DeviceChoice.valueOf(parseChoice(text, all).toUpperCase(Locale.ROOT)));
    }

    /** A number above 0 and at most 1. */
    static Setting<Double> part(String key, double fallback, String meaning) {
        return new Setting<>(key, Double.toString(fallback), meaning, Setting::parsePart);
    }

    /** The value in {@code conf}, or the default. */
    public T in(SparkConf conf) {
        String text = conf.get(key, fallback);
        try {
            return parse.apply(text);
        } catch (IllegalArgumentException | ArithmeticException e) {
            throw LockstepException.report(ErrorCode.USAGE, key + " = " + text + ": " + e.getMessage())
                    .attempt("--conf " + key + "=" + fallback + " is the default")
                    .cause(e)
                    .exception();
        }
    }

    private static Duration parseTime(String text) {
        Duration time = parseTimeOrZero(text);
        if (time.isZero()) {
            throw new IllegalArgumentException("not a time such as 500ms, 30s, 5m or 1h: it is zero");
        }
        return time;
    }

    private static Duration parseTimeOrZero(String text) {
        Matcher time = TIME.matcher(text.trim().toLowerCase(Locale.ROOT));
        if (!time.matches()) {
            throw new IllegalArgumentException("not a time such as 500ms, 30s, 5m or 1h");
        }
        long amount = Long.parseLong(time.group(1));
        return switch (time.group(2)) {
            case "ms" -> Duration.ofMillis(amount);
            case "s" -> Duration.ofSeconds(amount);
            case "h" -> Duration.ofHours(amount);
            default -> Duration.ofMinutes(amount);
        };
    }

    private static long parseBytes(String text) {
        Matcher size = SIZE.matcher(text.trim().toLowerCase(Locale.ROOT));
        if (!size.matches()) {
            throw new IllegalArgumentException("not a size such as 512m or 4g");
        }
        int shift = 10 * " kmgt".indexOf(size.group(2).isEmpty() ? " " : size.group(2));
        return Math.multiplyExact(Long.parseLong(size.group(1)), 1L << shift);
    }

    private static long parsePositiveBytes(String text) {
        long bytes = parseBytes(text);
        if (bytes == 0) {
            throw new IllegalArgumentException("not a size such as 512m or 4g: it is zero");
        }
        return bytes;
    }

    private static int parseCount(String text) {
        int count = Integer.parseInt(text.trim());
        if (count < 1) {
            throw new IllegalArgumentException("not a positive number");
        }
        return count;
    }

    private static int parseCountFromZero(String text) {
        int count = Integer.parseInt(text.trim());
        if (count < 0) {
            throw new IllegalArgumentException("a negative number");
        }
        return count;
    }

    private static double parsePart(String text) {
        double part = Double.parseDouble(text.trim());
        if (!(part > 0 && part <= 1)) {
            throw new IllegalArgumentException("not a number above 0 and at most 1");
        }
        return part;
    }

    private static int parsePort(String text) {
        int port = Integer.parseInt(text.trim());
        if (port < 0 || port > 65535) {
            throw new IllegalArgumentException("not a port, 0 to 65535");
        }
        return port;
    }

    private static String parseText(String text) {
        if (text.isBlank()) {
            throw new IllegalArgumentException("it is empty");
        }
        return text.trim();
    }

    private static String parseChoice(String text, List<String> all) {
        String choice = text.trim().toLowerCase(Locale.ROOT);
        if (!all.contains(choice)) {
            throw new IllegalArgumentException("not one of " + String.join(", ", all));
        }
        return choice;
    }

    private static boolean parseFlag(String text) {
        return switch (text.trim().toLowerCase(Locale.ROOT)) {
            case "true" -> true;
            case "false" -> false;
            default -> throw new IllegalArgumentException("neither true nor false");
        };
    }

    private static Set<TransportKind> parseTransports(String text) {
        return Arrays.stream(text.split(",", -1)).map(TransportKind::parse).collect(Collectors.toUnmodifiableSet());
    }
}
