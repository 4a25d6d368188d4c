package org.lockstep.spark;

import java.util.Optional;
import java.util.function.Consumer;
import org.apache.spark.sql.types.StructType;
import org.lockstep.spark.report.Progress;
import org.lockstep.spark.rows.RowColumns;

/**
 * What a call looks at in its rows, and whom it tells how far it is with them. Immutable.
 *
 * @param samplingColumn with rows' own sampling parameters, where it was named
 * @param progress called as executors report
 */
record LlmRows(Optional<String> samplingColumn, Consumer<Progress> progress) {
    static LlmRows ofPrompts() {
        return new LlmRows(Optional.empty(), done -> {});
    }

    LlmRows withSamplingColumn(String column) {
        return new LlmRows(Optional.of(column), progress);
    }

    LlmRows withoutSamplingColumn() {
        return new LlmRows(Optional.empty(), progress);
    }

    LlmRows withProgress(Consumer<Progress> consumer) {
        return new LlmRows(samplingColumn, consumer);
    }

    /** @throws org.lockstep.LockstepException USAGE where a column is not there, or of another type */
    RowColumns columns(StructType input, String promptColumn) {
        return RowColumns.of(input, promptColumn, samplingColumn);
    }
}
