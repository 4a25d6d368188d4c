package org.lockstep.cli;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.Closeable;
import java.io.IOException;
import java.io.Writer;
import java.math.BigDecimal;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.functions;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.DecimalType;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;

/**
 * Rows as JSON lines: an object a row, columns in order, nulls as null, line breaks {@code \n}.
 */
final class JsonLinesWriter implements Closeable {
    private static final Set<DataType> PLAIN = Set.of(
            DataTypes.StringType,
            DataTypes.BooleanType,
            DataTypes.ByteType,
            DataTypes.ShortType,
            DataTypes.IntegerType,
            DataTypes.LongType,
            DataTypes.FloatType,
            DataTypes.DoubleType);

    private final JsonGenerator json;
    private final String[] names;
    private final boolean[] raw;

    private JsonLinesWriter(Writer out, StructType schema, Set<String> jsonColumns) throws IOException {
        this.json = new JsonFactory().createGenerator(out).setRootValueSeparator(null);
        this.names = schema.fieldNames();
        this.raw = new boolean[names.length];
        for (int i = 0; i < names.length; i++) {
            raw[i] = jsonColumns.contains(names[i]);
        }
    }

    /**
     * Writes all rows.
     *
     * @param jsonColumns those of JSON text, which is written as it is
     */
    static void write(Writer out, Dataset<Row> rows, Set<String> jsonColumns) throws IOException {
        Set<String> raw = new HashSet<>(jsonColumns);
        Dataset<Row> plain = plain(rows, raw);
        try (JsonLinesWriter writer = new JsonLinesWriter(out, plain.schema(), raw)) {
            for (var each = plain.toLocalIterator(); each.hasNext(); ) {
                writer.write(each.next());
            }
        }
    }

    /** Columns of dates, lists, structures and the like become JSON text in Spark's own form, and join {@code raw}. */
    private static Dataset<Row> plain(Dataset<Row> rows, Set<String> raw) {
        StructField[] fields = rows.schema().fields();
        Column[] columns = new Column[fields.length];
        boolean changed = false;
        for (int i = 0; i < fields.length; i++) {
            String name = fields[i].name();
            columns[i] = functions.col("`" + name.replace("`", "``") + "`");
            if (!PLAIN.contains(fields[i].dataType()) && !(fields[i].dataType() instanceof DecimalType)) {
                Column list = functions.to_json(functions.array(columns[i]), Map.of("ignoreNullFields", "false"));
                columns[i] = list.substr(
                                functions.lit(2), functions.length(list).minus(2))
                        .as(name);
                raw.add(name);
                changed = true;
            }
        }
        return changed ? rows.select(columns) : rows;
    }

    private void write(Row row) throws IOException {
        json.writeStartObject();
        for (int i = 0; i < names.length; i++) {
            json.writeFieldName(names[i]);
            Object value = row.get(i);
            if (value == null) {
                json.writeNull();
            } else if (raw[i]) {
                json.writeRawValue((String) value);
            } else if (value instanceof String text) {
                json.writeString(text);
            } else if (value instanceof Boolean truth) {
                json.writeBoolean(truth);
            } else if (value instanceof Double number) {
                json.writeNumber(number);
            } else if (value instanceof Float number) {
                json.writeNumber(number);
            } else if (value instanceof BigDecimal number) {
                json.writeNumber(number.toPlainString());
            } else {
                json.writeNumber(((Number) value).longValue());
            }
        }
        json.writeEndObject();
        json.writeRaw('\n');
    }

    @Override
    public void close() throws IOException {
        json.close();
    }
}
