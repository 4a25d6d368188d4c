package org.lockstep.spark.rows;

import java.util.List;
import java.util.Set;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/** The columns of answers: the input's own, then ours. */
public final class AnswerSchema {
    private static final List<StructField> FIELDS = List.of(
            DataTypes.createStructField("text", DataTypes.StringType, true),
            DataTypes.createStructField("finish_reason", DataTypes.StringType, true),
            DataTypes.createStructField("prompt_tokens", DataTypes.IntegerType, true),
            DataTypes.createStructField("output_tokens", DataTypes.IntegerType, true),
            DataTypes.createStructField("error", DataTypes.StringType, true));

    /** The names of ours. */
    public static final List<String> COLUMNS =
            FIELDS.stream().map(StructField::name).toList();

    private AnswerSchema() {}

    /**
     * The input's fields and ours.
     *
     * @throws LockstepException USAGE where one of the input's has a name of ours
     */
    public static StructType of(StructType input) {
        Set<String> names = Set.of(input.fieldNames());
        StructType output = input;
        for (StructField field : FIELDS) {
            if (names.contains(field.name())) {
                throw LockstepException.report(
                                ErrorCode.USAGE,
                                "the input has a column '" + field.name() + "', which is one of ours: " + COLUMNS)
                        .attempt("rename it before generate")
                        .exception();
            }
            output = output.add(field);
        }
        return output;
    }
}
