package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.spark.SparkContext;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.commit.CommitLog;
import org.lockstep.commit.CommitPlace;
import org.lockstep.inference.SamplingParams;
import org.lockstep.model.ModelConfig;
import org.lockstep.spark.failure.GangWatch;
import org.lockstep.spark.gang.Residence;
import org.lockstep.spark.rows.EvenRows;
import org.lockstep.spark.rows.KeptResults;
import org.lockstep.spark.rows.RowColumns;
import org.lockstep.topology.RankOrder;

@Timeout(180)
class LaunchTest {
    /** As on hosts that do not share the driver's directory for temporary files: the driver alone sees that all is committed. */
    @Test
    void rowsThatTheirRanksDoNotFindAreDoneAgain(@TempDir Path folder) throws IOException {
        try (SparkSession spark = Sessions.local(2);
                Llm llm = Llm.bundled(spark).tensorParallel(2)) {
            SparkContext context = spark.sparkContext();
            RowColumns columns =
                    RowColumns.of(new StructType().add("prompt", DataTypes.StringType), "prompt", Optional.empty());
            ModelConfig config;
            FoundModel found;
            try (ModelFiles files = ModelSource.FABLE.open()) {
                config = ModelConfig.read(files);
                found = FoundModel.of(ModelSource.FABLE, files, ModelCheck.of(files, config), new Residence(context));
            }
            KeptResults.Ticket unseen = new KeptResults.Ticket(
                    new CommitLog.Attempt(new CommitPlace(folder.toString(), Map.of()), 7, 1, "the driver's", 2),
                    false);
            try (GangWatch watch = GangWatch.begin(context);
                    JobLabel label = JobLabel.begin(context, "rows that nobody sees");
                    EvenRows even = EvenRows.of(
                            spark.createDataset(List.of("Once upon a time", "Long ago"), Encoders.STRING())
                                    .toDF("prompt")
                                    .javaRDD(),
                            columns)) {
                Launch launch = new Launch(
                        new Launch.Model(found, config, RankOrder.DEFAULT, LlmDevice.NONE),
                        new Launch.Input(even, columns, SamplingParams.greedy().withMaxTokens(4), false),
                        llm::plan,
                        label,
                        progress -> {},
                        System.nanoTime());
                assertThat(launch.run(unseen, watch, 2, 0).answers().collect())
                        .hasSize(2)
                        .allSatisfy(row -> assertThat(row.getString(1)).isNotBlank());
            }
            found.residence().close();
        }
    }
}
