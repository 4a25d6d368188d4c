package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.spark.preflight.Finding;
import org.lockstep.spark.preflight.Machine;
import org.lockstep.topology.ParallelSizes;

/** Every executor is looked at, real JVMs. */
@Timeout(300)
class DoctorClusterIT {
    @Test
    void everyExecutorAnswersAndAlikeOnesDoNotDiffer() throws IOException {
        Sessions.assumeThatExecutorsStart();
        try (SparkSession session = Sessions.twoExecutors(Map.of())) {
            Preflight.Checkup checkup = Preflight.ofCluster(
                    session,
                    ParallelSizes.tensor(2).withData(2),
                    OptionalInt.empty(),
                    null,
                    Optional.empty(),
                    () -> Llm.bundled(session).tensorParallel(2).dataParallel(2));
            assertThat(checkup.machines()).extracting(Machine::process).containsExactly("0", "1");
            assertThat(checkup.findings())
                    .extracting(Finding::sentence)
                    .anySatisfy(sentence -> assertThat(sentence).startsWith("all 2 executors: Java "))
                    .noneSatisfy(sentence -> assertThat(sentence).contains("differs"));
            assertThat(checkup.findings()).extracting(Finding::level).doesNotContain(Finding.Level.FAIL);
        }
    }
}
