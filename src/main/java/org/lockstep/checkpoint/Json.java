package org.lockstep.checkpoint;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * JSON from outside: strict UTF-8, limits on nesting and on the length of numbers and strings, no names kept by the
 * JVM. Thread-safe.
 */
final class Json {
    private static final JsonFactory FACTORY = JsonFactory.builder()
            .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
            .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(32)
                    .maxNumberLength(64)
                    .maxStringLength(4 << 20)
                    .build())
            .build();

    /** What Jackson says besides of where something began that does not end: a source that it does not name. */
    private static final Pattern OPENED = Pattern.compile(" \\(start marker at .*");

    private Json() {}

    /** A parser; bytes that are not UTF-8 are an IOException when it meets them. */
    static JsonParser parser(InputStream in) throws IOException {
        return FACTORY.createParser(new InputStreamReader(
                in,
                StandardCharsets.UTF_8
                        .newDecoder()
                        .onMalformedInput(CodingErrorAction.REPORT)
                        .onUnmappableCharacter(CodingErrorAction.REPORT)));
    }

    /** The one object that {@code in} holds: maps, lists, strings, Long, other numbers as Double, Boolean, null. */
    static Map<String, @Nullable Object> object(InputStream in) throws IOException {
        try (JsonParser parser = parser(in)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new MalformedException("not a JSON object");
            }
            Map<String, @Nullable Object> map = readObject(parser);
            if (parser.nextToken() != null) {
                throw new MalformedException("something follows the JSON object");
            }
            return map;
        }
    }

    private static Map<String, @Nullable Object> readObject(JsonParser parser) throws IOException {
        Map<String, @Nullable Object> map = new LinkedHashMap<>();
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String key = parser.currentName();
            boolean again = map.containsKey(key);
            parser.nextToken();
            map.put(key, readValue(parser));
            if (again) {
                throw new MalformedException("key " + ModelFiles.quote(key) + " occurs twice");
            }
        }
        return map;
    }

    private static @Nullable Object readValue(JsonParser parser) throws IOException {
        JsonToken token = parser.currentToken();
        if (token == null) {
            throw new MalformedException("it ends early");
        }
        return switch (token) {
            case START_OBJECT -> readObject(parser);
            case START_ARRAY -> {
                List<@Nullable Object> list = new ArrayList<>();
                while (parser.nextToken() != JsonToken.END_ARRAY) {
                    list.add(readValue(parser));
                }
                yield list;
            }
            case VALUE_STRING -> parser.getText();
            case VALUE_NUMBER_INT ->
                parser.getNumberType() == JsonParser.NumberType.BIG_INTEGER
                        ? (Object) parser.getDoubleValue()
                        : (Object) parser.getLongValue();
            case VALUE_NUMBER_FLOAT -> parser.getDoubleValue();
            case VALUE_TRUE -> true;
            case VALUE_FALSE -> false;
            case VALUE_NULL -> null;
            default -> throw new MalformedException("unexpected " + token);
        };
    }

    /** Whether {@code e} tells of what a file says, rather than of a failure to read it. */
    static boolean isContent(IOException e) {
        return e instanceof JsonProcessingException
                || e instanceof CharacterCodingException
                || e instanceof MalformedException;
    }

    /** What went wrong and where, on one line and without the text of the file. */
    static String explain(IOException e) {
        if (e instanceof CharacterCodingException) {
            return "not valid UTF-8";
        }
        if (e instanceof JsonProcessingException wrong) {
            JsonLocation at = wrong.getLocation();
            String where = at == null ? "" : " at line " + at.getLineNr() + ", column " + at.getColumnNr();
            String what =
                    OPENED.matcher(String.valueOf(wrong.getOriginalMessage())).replaceFirst("");
            return "not valid JSON" + where + ": " + ModelFiles.quote(what);
        }
        return e instanceof MalformedException ? String.valueOf(e.getMessage()) : e.toString();
    }

    /** Well-formed JSON that says what it must not; never leaves this package. */
    static final class MalformedException extends IOException {
        private static final long serialVersionUID = 1;

        MalformedException(String what) {
            super(what);
        }
    }
}
