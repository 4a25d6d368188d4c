package org.lockstep.topology;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.zip.GZIPInputStream;

/** The true tables: what the original programs answered, one JSON object a line. */
final class Table {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Table() {}

    static List<JsonNode> read(String resource) {
        try (InputStream file = Objects.requireNonNull(Table.class.getResourceAsStream(resource), resource);
                BufferedReader lines =
                        new BufferedReader(new InputStreamReader(new GZIPInputStream(file), StandardCharsets.UTF_8))) {
            List<JsonNode> rows = new ArrayList<>();
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                rows.add(JSON.readTree(line));
            }
            return rows;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static List<Integer> ints(JsonNode array) {
        List<Integer> values = new ArrayList<>();
        array.forEach(value -> values.add(value.intValue()));
        return values;
    }

    static List<Boolean> booleans(JsonNode array) {
        List<Boolean> values = new ArrayList<>();
        array.forEach(value -> values.add(value.booleanValue()));
        return values;
    }

    static List<List<Integer>> lists(JsonNode arrays) {
        List<List<Integer>> values = new ArrayList<>();
        arrays.forEach(array -> values.add(ints(array)));
        return values;
    }

    static List<List<Integer>> ranks(List<ProcessGroup> groups) {
        return groups.stream().map(ProcessGroup::ranks).toList();
    }
}
