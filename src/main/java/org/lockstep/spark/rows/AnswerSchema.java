package org.lockstep.spark.rows;

import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.spark.sql.SparkSession;
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

    private static final String CASE_SENSITIVE = "spark.sql.caseSensitive";

    private AnswerSchema() {}

    /**
     * The input's fields and ours.
     *
     * @param spark whose configuration says whether names that differ in case alone are one
     * @throws LockstepException USAGE where one of the input's has a name of ours: neither could be selected or written
     */
    public static StructType of(SparkSession spark, StructType input) {
        boolean byCase = Boolean.parseBoolean(spark.conf().get(CASE_SENSITIVE));
        Set<String> ours = new TreeSet<>(byCase ? Comparator.naturalOrder() : String.CASE_INSENSITIVE_ORDER);
        ours.addAll(COLUMNS);
        for (String name : input.fieldNames()) {
            if (ours.contains(name)) {
                throw LockstepException.report(
                                ErrorCode.USAGE,
                                "the input has a column '" + name + "', which is one of ours: " + COLUMNS)
                        .attempt("rename it before generate"
                                + (COLUMNS.contains(name) ? "" : ", or " + CASE_SENSITIVE + "=true"))
                        .exception();
            }
        }
        StructType output = input;
        for (StructField field : FIELDS) {
            output = output.add(field);
        }
        return output;
    }
}
