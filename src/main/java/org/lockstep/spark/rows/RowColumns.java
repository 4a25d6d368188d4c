package org.lockstep.spark.rows;

import java.io.Serializable;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * The columns of the input that decide the answers. Immutable.
 *
 * @param prompt place of the prompts
 * @param sampling place of rows' own sampling parameters; -1 where there are none
 */
public record RowColumns(int prompt, int sampling) implements Serializable {
    private static final int NONE = -1;

    /** Prompts alone. */
    static RowColumns ofPrompts(int prompt) {
        return new RowColumns(prompt, NONE);
    }

    /**
     * By their names.
     *
     * @throws LockstepException USAGE where one is not there, or there twice, or of another type
     */
    public static RowColumns of(StructType input, String prompt, Optional<String> sampling) {
        int prompts = place(input, prompt, "--prompt-column, or name the column of prompts in generate");
        DataType type = input.fields()[prompts].dataType();
        if (!type.equals(DataTypes.StringType)) {
            throw LockstepException.report(
                            ErrorCode.USAGE,
                            "column '" + prompt + "' is of " + type.simpleString() + ", prompts are strings")
                    .attempt("another column, or withColumn(\"" + prompt + "\", col(\"" + prompt
                            + "\").cast(\"string\")) before")
                    .exception();
        }
        return sampling.map(name -> new RowColumns(prompts, sampling(input, name)))
                .orElse(ofPrompts(prompts));
    }

    private static int sampling(StructType input, String name) {
        int place = place(input, name, "--sampling-column, or Llm.samplingColumn");
        DataType type = input.fields()[place].dataType();
        if (!type.equals(DataTypes.StringType) && !(type instanceof StructType)) {
            throw LockstepException.report(
                            ErrorCode.USAGE,
                            "column '" + name + "' is of " + type.simpleString()
                                    + ", sampling parameters are a struct, or a JSON object in a string")
                    .attempt("to_json(" + name + ") makes one of a map")
                    .exception();
        }
        return place;
    }

    private static int place(StructType input, String name, String advice) {
        List<String> names = Arrays.asList(input.fieldNames()); // which may be asked for null
        int place = names.indexOf(name);
        if (place < 0) {
            throw LockstepException.report(ErrorCode.USAGE, "there is no column '" + name + "' among " + names)
                    .attempt(advice)
                    .exception();
        }
        if (place != names.lastIndexOf(name)) {
            throw LockstepException.report(ErrorCode.USAGE, "there are several columns '" + name + "' among " + names)
                    .attempt("drop or rename all but one, as after a join")
                    .exception();
        }
        return place;
    }

    /** Whether rows may say how they are sampled. */
    public boolean areSampledApart() {
        return sampling != NONE;
    }

    public @Nullable String promptOf(Row row) {
        return row.getString(prompt);
    }

    /** A JSON object; null where the row says nothing of its own. */
    public @Nullable String samplingOf(Row row) {
        if (sampling == NONE || row.isNullAt(sampling)) {
            return null;
        }
        return row.get(sampling) instanceof Row struct ? struct.json() : row.getString(sampling);
    }
}
