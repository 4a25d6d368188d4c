package org.lockstep.spark.rows;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.storage.StorageLevel;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.spark.BarrierStage;
import org.lockstep.spark.Sessions;
import org.lockstep.topology.ParallelSizes;

@Timeout(60)
class KeptRowsTest {
    /** Without the blocks, as when the executor that held them is lost, nothing runs again, and it says what would have helped. */
    @Test
    void answersThatAreGoneAreToldAsGone() throws Exception {
        try (SparkSession session = Sessions.local(2)) {
            JavaRDD<Integer> stage = BarrierStage.over(JavaSparkContext.fromSparkContext(session.sparkContext())
                            .parallelize(List.of(1, 2), 2))
                    .with(ParallelSizes.tensor(2))
                    .mapRanks((rank, mine) -> mine)
                    .persist(StorageLevel.MEMORY_AND_DISK());
            assertThat(stage.count()).isEqualTo(2);
            JavaRDD<Integer> kept = KeptRows.of(stage);
            assertThat(kept.collect()).containsExactly(1, 2);
            stage.unpersist(true);
            assertThatThrownBy(kept::collect)
                    .hasMessageContainingAll(
                            "LOCKSTEP-2009 ANSWERS_LOST  the answers of partition ",
                            "are gone with the executor that held them",
                            "--checkpoint-dir DIR (spark.lockstep.checkpointDir)",
                            "--resume");
        }
    }
}
