package org.lockstep.spark.rows;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.Optional;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.catalyst.expressions.GenericRowWithSchema;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.junit.jupiter.api.Test;

class RowColumnsTest {
    @Test
    void aColumnIsOfStructsOrOfText() {
        StructType own =
                new StructType().add("temperature", DataTypes.DoubleType).add("seed", DataTypes.LongType);
        StructType input = new StructType()
                .add("text", DataTypes.StringType)
                .add("struct", own)
                .add("json", DataTypes.StringType)
                .add("number", DataTypes.LongType);
        Row row = RowFactory.create("a", new GenericRowWithSchema(new Object[] {0.5, null}, own), "{\"seed\": 1}", 7L);

        RowColumns structs = RowColumns.of(input, "text", Optional.of("struct"));
        assertThat(structs.promptOf(row)).isEqualTo("a");
        assertThat(structs.samplingOf(row)).isIn("{\"temperature\":0.5}", "{\"temperature\":0.5,\"seed\":null}");
        RowColumns texts = RowColumns.of(input, "text", Optional.of("json"));
        assertThat(texts.samplingOf(row)).isEqualTo("{\"seed\": 1}");
        assertThat(RowColumns.of(input, "text", Optional.empty()).samplingOf(row))
                .isNull();
        assertThat(structs.samplingOf(RowFactory.create("a", null, null, 7L))).isNull();
        assertThatThrownBy(() -> RowColumns.of(input, "text", Optional.of("number")))
                .hasMessageContainingAll("USAGE", "column 'number' is of bigint, sampling parameters are a struct");
        assertThatThrownBy(() -> RowColumns.of(input, "text", Optional.of("params")))
                .hasMessageContainingAll("USAGE", "there is no column 'params' among", "--sampling-column");
    }

    @Test
    void ofColumnsOfOneNameNoneIsTaken() {
        StructType joined = new StructType()
                .add("id", DataTypes.LongType)
                .add("prompt", DataTypes.StringType)
                .add("id", DataTypes.LongType)
                .add("prompt", DataTypes.StringType);
        assertThatThrownBy(() -> RowColumns.of(joined, "prompt", Optional.empty()))
                .hasMessageContainingAll("USAGE", "there are several columns 'prompt' among", "rename");
    }

    /** A run is gone on with for the same rows only, and what they say of their sampling is of them. */
    @Test
    void theDigestOfRowsIsAlsoOfWhatTheySay() {
        RowColumns columns = new RowColumns(0, 1);
        assertThat(PromptDigest.of(List.of(RowFactory.create("a", "{}")).iterator(), columns))
                .isEqualTo(PromptDigest.of(List.of(RowFactory.create("a", "{}")).iterator(), columns))
                .isNotEqualTo(PromptDigest.of(
                        List.of(RowFactory.create("a", (Object) null)).iterator(), columns))
                .isNotEqualTo(PromptDigest.of(
                        List.of(RowFactory.create("a", "{\"seed\": 1}")).iterator(), columns));
    }
}
