package org.lockstep.spark;

import java.io.IOException;
import java.util.List;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import org.lockstep.topology.ParallelSizes;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Two ranks that write a line each to the log, for a process whose log is configured by a file. */
final class RankLog {
    private static final Logger LOG = LoggerFactory.getLogger(RankLog.class);

    private RankLog() {}

    public static void main(String[] args) throws IOException {
        try (SparkSession session = Sessions.local(2)) {
            LOG.info("the driver is no rank");
            BarrierStage.over(JavaSparkContext.fromSparkContext(session.sparkContext())
                            .parallelize(List.of(1, 2), 2))
                    .with(ParallelSizes.tensor(2))
                    .collectRanks((rank, mine) -> {
                        LOG.warn("here is {}", rank.state().rank());
                        return mine;
                    });
        }
    }
}
