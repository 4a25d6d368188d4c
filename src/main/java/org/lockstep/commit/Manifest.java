package org.lockstep.commit;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * What a run is: rows that were committed by one are good for another only if all of this is equal.
 *
 * @param rows of the input, at most 2³¹ - 1
 * @param fields what else decides the texts, by name, in an order to show
 */
public record Manifest(int rows, List<Field> fields) {
    private static final int SHOWN = 120;

    public Manifest {
        fields = List.copyOf(fields);
    }

    /** One thing that decides the texts. */
    public record Field(String name, String value) {}

    /** In words, the first thing in which another one differs; empty if nothing does. */
    Optional<String> difference(Manifest other) {
        Map<String, String> theirs = other.named();
        for (Map.Entry<String, String> mine : named().entrySet()) {
            String value = theirs.getOrDefault(mine.getKey(), "nothing");
            if (!value.equals(mine.getValue())) {
                return Optional.of(String.format(
                        Locale.ROOT,
                        "%s: it was %s, now it is %s",
                        mine.getKey(),
                        shown(value, mine.getValue()),
                        shown(mine.getValue(), value)));
            }
        }
        return Optional.empty();
    }

    /** A value from shortly before the place where it differs from another. */
    private static String shown(String value, String other) {
        int same = 0;
        while (same < Math.min(value.length(), other.length()) && value.charAt(same) == other.charAt(same)) {
            same++;
        }
        int from = value.length() <= SHOWN ? 0 : Math.max(0, same - SHOWN / 3);
        int to = Math.min(value.length(), from + SHOWN);
        return (from > 0 ? "…" : "") + value.substring(from, to) + (to < value.length() ? "…" : "");
    }

    private Map<String, String> named() {
        Map<String, String> named = new LinkedHashMap<>();
        fields.forEach(field -> named.put(field.name(), field.value()));
        named.put("rows", Integer.toString(rows));
        return named;
    }

    List<String> strings() {
        List<String> strings = new ArrayList<>();
        named().forEach((name, value) -> {
            strings.add(name);
            strings.add(value);
        });
        return strings;
    }

    /** What {@link #strings} gave; empty if these are no such strings. */
    static Optional<Manifest> of(List<String> strings) {
        if (strings.size() % 2 != 0 || strings.size() < 2) {
            return Optional.empty();
        }
        int last = strings.size() - 2;
        List<Field> fields = new ArrayList<>();
        for (int i = 0; i < last; i += 2) {
            fields.add(new Field(strings.get(i), strings.get(i + 1)));
        }
        try {
            return Optional.of(new Manifest(Integer.parseInt(strings.get(last + 1)), fields));
        } catch (NumberFormatException none) {
            return Optional.empty();
        }
    }
}
