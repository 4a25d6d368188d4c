package org.lockstep.cli;

import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** What a comparison with other programs asks for, by variables of the environment. */
record HookEnvironment(Map<String, String> variables) {
    HookEnvironment {
        variables = Map.copyOf(variables);
    }

    /** A variable without blanks around it; empty where it is not there. */
    String text(String name) {
        return variables.getOrDefault(name, "").strip();
    }

    /** The parts between blanks and commas. */
    List<String> words(String name) {
        return Stream.of(text(name).split("[ ,]+"))
                .filter(word -> !word.isBlank())
                .toList();
    }

    /**
     * A number, or {@code otherwise} where it is not there.
     *
     * @throws IllegalArgumentException if it is none
     */
    int integer(String name, int otherwise) {
        String value = text(name);
        try {
            return value.isEmpty() ? otherwise : Integer.parseInt(value);
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException(name + " ('" + value + "') in the environment is no number", e);
        }
    }
}
