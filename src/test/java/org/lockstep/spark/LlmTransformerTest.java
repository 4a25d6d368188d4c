package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.LockstepException;
import org.lockstep.inference.SamplingParams;

@Timeout(180)
class LlmTransformerTest {
    @Test
    void aStepOfAChainAnswersAsGenerateDoes() throws Exception {
        try (SparkSession session = Sessions.local(2);
                Llm llm = Llm.bundled(session).tensorParallel(2)) {
            StructType schema = new StructType().add("id", DataTypes.LongType).add("prompt", DataTypes.StringType);
            Dataset<Row> rows = session.createDataFrame(
                    List.of(RowFactory.create(1L, "Once upon a time"), RowFactory.create(2L, "The fox")), schema);
            SamplingParams params = SamplingParams.greedy().withMaxTokens(8);
            LlmTransformer step = llm.on("prompt", params);

            Dataset<Row> answers = rows.transform(step).where("id > 0").select("id", "text");

            assertThat(answers.collectAsList())
                    .isEqualTo(llm.generate(rows, "prompt", params)
                            .select("id", "text")
                            .collectAsList());
            assertThat(step.transformSchema(schema))
                    .isEqualTo(step.transform(rows).schema());
            assertThatThrownBy(() -> llm.on("question", params).transformSchema(schema))
                    .isInstanceOf(LockstepException.class)
                    .hasMessageContaining("question");

            StructType clashing = schema.add("Error", DataTypes.StringType);
            assertThatThrownBy(() -> step.transformSchema(clashing))
                    .isInstanceOf(LockstepException.class)
                    .hasMessageContainingAll("'Error'", "rename it", "spark.sql.caseSensitive=true");
            session.conf().set("spark.sql.caseSensitive", true);
            assertThat(step.transformSchema(clashing).fieldNames()).contains("Error", "error");
        }
    }
}
