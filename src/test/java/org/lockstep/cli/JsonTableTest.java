package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.types.DataTypes;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

class JsonTableTest {
    private static JsonTable read(String... lines) {
        return JsonTable.read("prompts.jsonl", List.of(lines).iterator(), "prompt");
    }

    private static List<Object> column(JsonTable table, String name) {
        return table.rows().stream()
                .<Object>map(row -> row.get(table.schema().fieldIndex(name)))
                .collect(java.util.stream.Collectors.toCollection(java.util.ArrayList::new));
    }

    @Test
    void columnsInTheOrderInWhichTheFileNamesThem() {
        JsonTable table =
                read("{\"z\":1,\"prompt\":\"a\"}", "", "  ", "{\"prompt\":null,\"a\":true,\"z\":-9223372036854775808}");
        assertThat(table.schema().fieldNames()).containsExactly("z", "prompt", "a");
        assertThat(table.rows().stream().map(Row::toString))
                .containsExactly("[1,a,null]", "[-9223372036854775808,null,true]");
        assertThat(table.jsonColumns()).isEmpty();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "1 | 2 | bigint",
                "1.5 | 1E3 | double",
                "-0.0 | 0.10 | double",
                "true | false | boolean",
                "\"x\" | null | string",
                "null | null | string",
                "1 | 2.5 | json",
                "1 | \"1\" | json",
                "9223372036854775808 | 1 | json",
                "-0 | 1 | json",
                "1e400 | 1.0 | json",
                "1e-99999999999 | 1.0 | json",
                "0.1000000000000000055511151231257827 | 1.0 | json",
                "{\"b\" : [1, 1.50, {\"b\":null, \"b\":2}], \"a\":\"\\u00e9\\n\"} | [ ] | json",
                "\"quote \\\" and \\n\" | [\"é𝄞\"] | json",
            })
    void typesThatKeepTheValueElseTheTextItself(String first, String second, String type) {
        JsonTable table = read("{\"prompt\":\"\",\"v\":" + first + "}", "{\"v\" : " + second + " }");
        String found = table.schema().apply("v").dataType().simpleString();
        if (type.equals("json")) {
            assertThat(found).isEqualTo("string");
            assertThat(table.jsonColumns()).containsExactly("v");
            assertThat(column(table, "v")).containsExactly(first, second);
        } else {
            assertThat(found).isEqualTo(type);
            assertThat(table.jsonColumns()).isEmpty();
        }
    }

    @Test
    void stringsAreDecoded() {
        assertThat(column(read("{\"prompt\":\"\\ud834\\udd1e \\u0000 \\\"é\\\" \u2028\"}"), "prompt"))
                .containsExactly("\ud834\udd1e \u0000 \"é\" \u2028");
    }

    @Test
    void anEmptyFileHasTheColumnOfPrompts() {
        assertThat(read("").schema().apply("prompt").dataType()).isEqualTo(DataTypes.StringType);
        assertThat(read("{}").schema().fieldNames()).isEmpty();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "[1] | not a JSON object",
                "\"x\" | not a JSON object",
                "{\"prompt\":\"a\" | Unexpected end-of-input",
                "{\"prompt\":\"a\"} {} | more than one JSON object",
                "{prompt:1} | Unexpected character",
                "{\"a\":1,\"a\":2} | key 'a' is there twice",
                "{\"prompt\":7} | 'prompt' is not a string",
                "{\"prompt\":[\"a\"]} | 'prompt' is not a string",
                "{\"prompt\":\"\\ud834\"} | \\ud834 is half a surrogate pair",
                "{\"v\":NaN} | Non-standard token 'NaN'",
            })
    void aWrongLineIsNamed(String line, String message) {
        assertThatThrownBy(() -> read("{\"prompt\":\"fine\"}", "", line))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.USAGE))
                .hasMessageContainingAll("prompts.jsonl, line 3: ", message)
                .hasMessageNotContaining("Exception");
    }
}
