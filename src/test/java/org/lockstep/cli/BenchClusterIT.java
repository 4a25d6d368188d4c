package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.spark.Sessions;

/** {@code bench --master}, where ranks are tasks of two executors, real JVMs: pairs within one, and between both. */
@Timeout(300)
class BenchClusterIT {
    @Test
    void everyOperationOfTasksOfExecutorsIsRight() throws IOException {
        Sessions.assumeThatExecutorsStart();
        try (SparkSession session = Sessions.executors(2, 2, Map.of("spark.lockstep.slots.wait", "240s"))) {
            String words = "bench all --ranks 4 --sizes 64,256K -w 20 -n 20 --batches 2 --json --master ";
            Run run = Run.of((words + session.sparkContext().master()).split(" "));
            List<JsonNode> lines = BenchCommandTest.json(run);
            assertThat(BenchCommandTest.operations(lines)).isEqualTo(BenchCommandTest.tokens());
            lines.forEach(line -> BenchCommandTest.assertLine(line, "lockstep-spark", 4, "shared"));
        }
    }
}
