package org.lockstep.cli;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.io.JsonStringEncoder;
import java.io.IOException;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * JSON lines as rows: columns in the order in which the file first names them, values as they stand.
 *
 * <p>A column of strings, of booleans, of whole numbers or of numbers that a double holds exactly has that type. Any other
 * is a column of JSON text, character by character as in the file. Null and a missing key are both null. Spark's own
 * reader would sort the columns and round the numbers.
 *
 * @param schema of the rows
 * @param rows in the order of the lines
 * @param jsonColumns those of JSON text
 */
record JsonTable(StructType schema, List<Row> rows, Set<String> jsonColumns) {
    private static final JsonFactory JSON = new JsonFactory();
    private static final Pattern OPENED =
            Pattern.compile(" \\(start marker at .*"); // of what does not end, on this line

    private enum Kind {
        NULL,
        STRING,
        BOOLEAN,
        LONG,
        DOUBLE,
        OTHER
    }

    /** A value: the characters of a string, else what stands in the file. */
    private record Cell(Kind kind, String text) {
        private static final Cell NULL = new Cell(Kind.NULL, "null");
    }

    /**
     * Reads lines; blank ones are skipped.
     *
     * @param source for messages
     * @param stringColumn a column that may hold strings and nulls only, and is there also when no line names it
     * @throws LockstepException USAGE naming the source and the line
     */
    static JsonTable read(String source, Iterator<String> lines, String stringColumn) {
        Map<String, EnumSet<Kind>> columns = new LinkedHashMap<>();
        List<Map<String, Cell>> objects = new ArrayList<>();
        for (int number = 1; lines.hasNext(); number++) {
            String line = lines.next();
            if (line.isBlank()) {
                continue;
            }
            Map<String, Cell> object;
            try {
                object = object(line);
            } catch (IOException e) {
                throw bad(
                        source,
                        number,
                        e instanceof JsonProcessingException json
                                ? OPENED.matcher(json.getOriginalMessage()).replaceFirst("")
                                : String.valueOf(e.getMessage()));
            }
            Kind prompt = object.getOrDefault(stringColumn, Cell.NULL).kind();
            if (prompt != Kind.STRING && prompt != Kind.NULL) {
                throw bad(source, number, "'" + stringColumn + "' is not a string");
            }
            object.forEach((name, cell) -> columns.computeIfAbsent(name, key -> EnumSet.noneOf(Kind.class))
                    .add(cell.kind()));
            objects.add(object);
        }
        if (objects.isEmpty()) {
            columns.put(stringColumn, EnumSet.of(Kind.NULL));
        }
        return table(columns, objects);
    }

    private static LockstepException bad(String source, int number, String why) {
        return LockstepException.report(ErrorCode.USAGE, source + ", line " + number + ": " + why)
                .attempt("JSON lines hold one object a line, such as {\"prompt\": \"Once upon a time\"}")
                .exception();
    }

    private static JsonTable table(Map<String, EnumSet<Kind>> columns, List<Map<String, Cell>> objects) {
        StructType schema = new StructType();
        Set<String> jsonColumns = new HashSet<>();
        List<Kind> kinds = new ArrayList<>();
        for (Map.Entry<String, EnumSet<Kind>> column : columns.entrySet()) {
            Kind kind = kind(column.getValue());
            kinds.add(kind);
            schema = schema.add(column.getKey(), type(kind), true);
            if (kind == Kind.OTHER) {
                jsonColumns.add(column.getKey());
            }
        }
        List<Row> rows = new ArrayList<>(objects.size());
        for (Map<String, Cell> object : objects) {
            Object[] values = new Object[kinds.size()];
            int i = 0;
            for (String name : columns.keySet()) {
                values[i] = value(object.getOrDefault(name, Cell.NULL), kinds.get(i));
                i++;
            }
            rows.add(RowFactory.create(values));
        }
        return new JsonTable(schema, rows, Set.copyOf(jsonColumns));
    }

    private static Kind kind(EnumSet<Kind> seen) {
        EnumSet<Kind> kinds = EnumSet.copyOf(seen);
        kinds.remove(Kind.NULL);
        return kinds.isEmpty()
                ? Kind.STRING
                : kinds.size() == 1 ? kinds.iterator().next() : Kind.OTHER;
    }

    private static DataType type(Kind kind) {
        return switch (kind) {
            case BOOLEAN -> DataTypes.BooleanType;
            case LONG -> DataTypes.LongType;
            case DOUBLE -> DataTypes.DoubleType;
            case NULL, STRING, OTHER -> DataTypes.StringType;
        };
    }

    private static @Nullable Object value(Cell cell, Kind column) {
        if (cell.kind() == Kind.NULL) {
            return null;
        }
        return switch (column) {
            case BOOLEAN -> Boolean.valueOf(cell.text());
            case LONG -> Long.valueOf(cell.text());
            case DOUBLE -> Double.valueOf(cell.text());
            case OTHER -> cell.kind() == Kind.STRING ? quoted(cell.text()) : cell.text();
            case NULL, STRING -> cell.text();
        };
    }

    private static String quoted(String text) {
        return '"' + new String(JsonStringEncoder.getInstance().quoteAsString(text)) + '"';
    }

    private static Map<String, Cell> object(String line) throws IOException {
        try (JsonParser parser = JSON.createParser(line)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new IOException("not a JSON object");
            }
            Map<String, Cell> object = new LinkedHashMap<>();
            for (JsonToken token = parser.nextToken(); token == JsonToken.FIELD_NAME; token = parser.nextToken()) {
                String name = wellFormed(parser.currentName());
                if (object.containsKey(name)) {
                    throw new IOException("key '" + name + "' is there twice");
                }
                object.put(name, cell(line, parser, parser.nextToken()));
            }
            if (parser.nextToken() != null) {
                throw new IOException("more than one JSON object");
            }
            return object;
        }
    }

    private static Cell cell(String line, JsonParser parser, JsonToken token) throws IOException {
        return switch (token) {
            case VALUE_NULL -> Cell.NULL;
            case VALUE_STRING -> new Cell(Kind.STRING, wellFormed(parser.getText()));
            case VALUE_TRUE, VALUE_FALSE -> new Cell(Kind.BOOLEAN, parser.getText());
            case VALUE_NUMBER_INT -> new Cell(isLong(parser.getText()) ? Kind.LONG : Kind.OTHER, parser.getText());
            case VALUE_NUMBER_FLOAT ->
                new Cell(isDouble(parser.getText()) ? Kind.DOUBLE : Kind.OTHER, parser.getText());
            default -> {
                int start = (int) parser.currentTokenLocation().getCharOffset();
                parser.skipChildren();
                int end = (int) parser.currentTokenLocation().getCharOffset() + 1;
                yield new Cell(Kind.OTHER, line.substring(start, end));
            }
        };
    }

    private static boolean isLong(String text) {
        try {
            return Long.toString(Long.parseLong(text)).equals(text);
        } catch (NumberFormatException e) {
            return false;
        }
    }

    /** Whether a double prints as the same number. */
    private static boolean isDouble(String text) {
        double value = Double.parseDouble(text);
        try {
            return Double.isFinite(value)
                    && new BigDecimal(text).compareTo(new BigDecimal(Double.toString(value))) == 0;
        } catch (NumberFormatException | ArithmeticException e) {
            return false;
        }
    }

    /** Half a surrogate pair is no Unicode: it would silently become a question mark. */
    private static String wellFormed(String text) throws IOException {
        for (int i = 0; i < text.length(); i++) {
            if (Character.isHighSurrogate(text.charAt(i))
                    && i + 1 < text.length()
                    && Character.isLowSurrogate(text.charAt(i + 1))) {
                i++;
            } else if (Character.isSurrogate(text.charAt(i))) {
                throw new IOException(String.format("\\u%04x is half a surrogate pair", (int) text.charAt(i)));
            }
        }
        return text;
    }
}
