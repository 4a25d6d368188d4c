package org.lockstep.cli;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.Closeable;
import java.io.IOException;
import java.io.Writer;
import java.math.BigDecimal;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.functions;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.DecimalType;
import org.apache.spark.sql.types.StructField;

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

    private JsonLinesWriter(Writer out, String[] names, boolean[] raw) throws IOException {
        this.json = new JsonFactory().createGenerator(out).setRootValueSeparator(null);
        this.names = names;
        this.raw = raw;
    }

    /**
     * Writes all rows.
     *
     * @param jsonColumns those of JSON text, which is written as it is
     */
    static void write(Writer out, Dataset<Row> rows, Set<String> jsonColumns) throws IOException {
        StructField[] fields = rows.schema().fields();
        String[] names = rows.schema().fieldNames();
        boolean[] raw = new boolean[names.length];
        for (int i = 0; i < names.length; i++) {
            raw[i] = jsonColumns.contains(names[i]) || !isPlain(fields[i]);
        }
        try (JsonLinesWriter writer = new JsonLinesWriter(out, names, raw)) {
            for (var each = plain(rows, fields).toLocalIterator(); each.hasNext(); ) {
                writer.write(each.next());
            }
        }
    }

    private static boolean isPlain(StructField field) {
        return PLAIN.contains(field.dataType()) || field.dataType() instanceof DecimalType;
    }

    /**
     * Columns of dates, lists, structures and the like become JSON text in Spark's own form. They go by their places, for Spark
     * does not tell names apart that differ in case alone.
     */
    private static Dataset<Row> plain(Dataset<Row> rows, StructField[] fields) {
        if (Stream.of(fields).allMatch(JsonLinesWriter::isPlain)) {
            return rows;
        }
        String[] places = new String[fields.length];
        Column[] columns = new Column[fields.length];
        for (int i = 0; i < fields.length; i++) {
            places[i] = "place" + i;
            Column column = functions.col(places[i]);
            columns[i] = isPlain(fields[i]) ? column : json(column);
        }
        return rows.toDF(places).select(columns);
    }

    private static Column json(Column value) {
        Column list = functions.to_json(functions.array(value), Map.of("ignoreNullFields", "false"));
        return list.substr(functions.lit(2), functions.length(list).minus(2));
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
