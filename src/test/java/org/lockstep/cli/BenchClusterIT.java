package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
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
        try (SparkSession session = Sessions.executors(2, 2, Map.of())) {
            String words = "bench all --ranks 4 --sizes 64,256K -w 20 -n 20 --batches 2 --json --master ";
            Run run = Run.of((words + session.sparkContext().master()).split(" "));
            assertThat(run.code()).as(run.err()).isZero();
            Set<String> operations = new TreeSet<>();
            for (String each : run.out().lines().toList()) {
                JsonNode line = new ObjectMapper().readTree(each);
                operations.add(line.get("op").textValue());
                assertThat(line.get("ranks").intValue()).isEqualTo(4);
                assertThat(line.get("errors").intValue()).as(each).isZero();
                assertThat(line.get("lat_us").doubleValue()).isPositive();
                assertThat(line.get("transport").textValue())
                        .as("of the farthest")
                        .isEqualTo("shared");
            }
            assertThat(operations).hasSize(13);
        }
    }
}
