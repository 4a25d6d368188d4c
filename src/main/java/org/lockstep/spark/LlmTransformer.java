package org.lockstep.spark;

import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.types.StructType;
import org.lockstep.LockstepException;
import org.lockstep.inference.SamplingParams;
import scala.runtime.AbstractFunction1;

/**
 * A model, a prompt column and sampling parameters as one step of a chain of Datasets: what {@code Dataset.transform} takes, in
 * Java, Scala and, by {@link #transform}, PySpark.
 *
 * <pre>{@code
 * Dataset<Row> answers = questions.transform(llm.on("prompt", SamplingParams.greedy()));
 * }</pre>
 *
 * <p>Its methods are those of a Transformer of spark.ml, which is not needed. Immutable and thread-safe as its {@link Llm}; of the
 * driver, as that is.
 */
public final class LlmTransformer extends AbstractFunction1<Dataset<Row>, Dataset<Row>> {
    private final Llm llm;
    private final String promptColumn;
    private final SamplingParams params;

    LlmTransformer(Llm llm, String promptColumn, SamplingParams params) {
        this.llm = llm;
        this.promptColumn = promptColumn;
        this.params = params;
    }

    /**
     * {@link Llm#generate(Dataset, String, SamplingParams)}: eager, so the run happens in this call, and not when the result is
     * used.
     *
     * @throws LockstepException as {@code generate}
     */
    public Dataset<Row> transform(Dataset<Row> rows) {
        return llm.generate(rows, promptColumn, params);
    }

    /**
     * The columns of the answers to rows of {@code schema}, without a run.
     *
     * @throws LockstepException USAGE where the prompt column is not one of strings, the sampling column none of parameters, or a
     *     column has one of our names
     */
    public StructType transformSchema(StructType schema) {
        return llm.answerSchema(schema, promptColumn);
    }

    /** {@link #transform}. */
    @Override
    public Dataset<Row> apply(Dataset<Row> rows) {
        return transform(rows);
    }

    @Override
    public String toString() {
        return "LlmTransformer(" + promptColumn + ", " + params + ")";
    }
}
