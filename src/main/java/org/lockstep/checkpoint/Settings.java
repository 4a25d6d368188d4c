package org.lockstep.checkpoint;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * The keys and values of one JSON file of settings; whatever is wrong with a value, the error names file, key, value and
 * what is expected. A key whose value is null counts as absent. Immutable.
 *
 * <p>All errors are CONFIG_INVALID.
 */
public final class Settings {
    private static final long LIMIT = 1 << 20;

    private final String model;
    private final String file;
    private final String prefix;
    private final Map<String, @Nullable Object> values;

    private Settings(String model, String file, String prefix, Map<String, @Nullable Object> values) {
        this.model = model;
        this.file = file;
        this.prefix = prefix;
        this.values = values;
    }

    /** The object in the file {@code name} of at most 1 MiB; nesting, long numbers and duplicate keys are refused. */
    public static Settings read(ModelFiles files, String name) {
        byte[] bytes = files.readFully(name, LIMIT);
        try {
            return new Settings(files.describe(), name, "", Json.object(new ByteArrayInputStream(bytes)));
        } catch (IOException e) {
            throw LockstepException.report(ErrorCode.CONFIG_INVALID, name + ": " + Json.explain(e))
                    .with("model", files.describe())
                    .attempt("take " + name + " from where the weights come from")
                    .cause(e)
                    .exception();
        }
    }

    /** Whether the key is there and not null. */
    public boolean has(String key) {
        return values.get(key) != null;
    }

    /** The value as it stands, for comparison with another: a map, list, string, number or boolean; null if absent. */
    public @Nullable Object raw(String key) {
        return values.get(key);
    }

    /** A whole number in {@code least .. most} under a key that must be there. */
    public int integer(String key, int least, int most) {
        return whole(key, require(key), least, most);
    }

    /** A whole number in {@code least .. most}, or {@code fallback} if absent. */
    public int integer(String key, int least, int most, int fallback) {
        Object value = values.get(key);
        return value == null ? fallback : whole(key, value, least, most);
    }

    /** A number in {@code least .. most} under a key that must be there. */
    public double number(String key, double least, double most) {
        return real(key, require(key), least, most);
    }

    /** A number in {@code least .. most}, or {@code fallback} if absent. */
    public double number(String key, double least, double most, double fallback) {
        Object value = values.get(key);
        return value == null ? fallback : real(key, value, least, most);
    }

    /** A boolean, or {@code fallback} if absent. */
    public boolean flag(String key, boolean fallback) {
        Object value = values.get(key);
        if (value == null) {
            return fallback;
        }
        if (value instanceof Boolean flag) {
            return flag;
        }
        throw wrong(key, "true or false");
    }

    /** A string, or {@code fallback} if absent. */
    public String text(String key, String fallback) {
        Object value = values.get(key);
        if (value == null) {
            return fallback;
        }
        if (value instanceof String text) {
            return text;
        }
        throw wrong(key, "a string");
    }

    /** A list of strings; empty if absent. */
    public List<String> texts(String key) {
        Object value = values.get(key);
        List<String> texts = new ArrayList<>();
        if (value instanceof List<?> list) {
            for (Object each : list) {
                if (!(each instanceof String text)) {
                    throw wrong(key, "a list of strings");
                }
                texts.add(text);
            }
        } else if (value != null) {
            throw wrong(key, "a list of strings");
        }
        return List.copyOf(texts);
    }

    /** One whole number or a list of them, each in {@code least .. most}; empty if absent. */
    public List<Integer> integers(String key, int least, int most) {
        Object value = values.get(key);
        if (value == null) {
            return List.of();
        }
        if (!(value instanceof List<?> list)) {
            return List.of(whole(key, value, least, most));
        }
        List<Integer> numbers = new ArrayList<>();
        for (Object each : list) {
            numbers.add(whole(key, each, least, most));
        }
        return List.copyOf(numbers);
    }

    /** The object under a key; null if absent. */
    public @Nullable Settings child(String key) {
        Object value = values.get(key);
        if (value == null) {
            return null;
        }
        if (!(value instanceof Map<?, ?> map)) {
            throw wrong(key, "an object");
        }
        @SuppressWarnings("unchecked") // what Json makes of an object
        Map<String, @Nullable Object> inner = (Map<String, @Nullable Object>) map;
        return new Settings(model, file, prefix + key + ".", inner);
    }

    /** The error for a value that is there but cannot be used. */
    public LockstepException wrong(String key, String expected) {
        return report(ErrorCode.CONFIG_INVALID, key, "is " + show(values.get(key)) + "; expected " + expected);
    }

    /** The error for a value that is right but asks for what Lockstep lacks: MODEL_UNSUPPORTED. */
    public LockstepException unsupported(String key, String supported) {
        return report(ErrorCode.MODEL_UNSUPPORTED, key, "is " + show(values.get(key)) + "; supported: " + supported);
    }

    private LockstepException report(ErrorCode code, String key, String what) {
        return LockstepException.report(code, file + ": " + prefix + key + " " + what)
                .with("model", model)
                .attempt(
                        code == ErrorCode.CONFIG_INVALID
                                ? "take " + file + " from where the weights come from"
                                : "take a model of a kind that Lockstep has")
                .exception();
    }

    private Object require(String key) {
        Object value = values.get(key);
        if (value == null) {
            throw report(ErrorCode.CONFIG_INVALID, key, values.containsKey(key) ? "is null" : "is missing");
        }
        return value;
    }

    private int whole(String key, @Nullable Object value, int least, int most) {
        if (value instanceof Long number && number >= least && number <= most) {
            return number.intValue();
        }
        throw wrong(key, "a whole number in " + least + ".." + most);
    }

    private double real(String key, Object value, double least, double most) {
        if (value instanceof Number number) {
            double real = number.doubleValue();
            if (real >= least && real <= most) {
                return real;
            }
        }
        throw wrong(key, "a number in " + least + ".." + most);
    }

    private static String show(@Nullable Object value) {
        return value instanceof String text ? ModelFiles.quote(text) : ModelFiles.shorten(String.valueOf(value));
    }
}
