package org.lockstep.spark.rows;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.lockstep.FaultCase;
import org.lockstep.spark.Sessions;

@Timeout(60)
class EvenRowsTest {
    private static final AtomicInteger READINGS = new AtomicInteger();
    private static SparkSession session;

    /** What a source gives when it is read for the second time. */
    enum Again {
        THE_SAME,
        ANOTHER_ORDER,
        ONE_LESS
    }

    @BeforeAll
    static void start() {
        session = Sessions.local(2);
    }

    @AfterAll
    static void stop() {
        session.stop();
    }

    /** Answers find their rows by number: where an executor was lost, rows that were read again must not have others. */
    @ParameterizedTest
    @EnumSource
    @FaultCase("F04")
    void rowsThatAreReadAgainAreThoseThatWereThere(Again again) {
        READINGS.set(0);
        JavaRDD<Row> input = JavaSparkContext.fromSparkContext(session.sparkContext())
                .parallelize(List.of(1), 1)
                .flatMap(one -> {
                    List<Row> rows = new ArrayList<>();
                    for (String prompt : List.of("a crow", "a fox", "a hare")) {
                        rows.add(RowFactory.create(prompt));
                    }
                    if (READINGS.getAndIncrement() > 0 && again == Again.ANOTHER_ORDER) {
                        Collections.swap(rows, 0, 1);
                    } else if (READINGS.get() > 1 && again == Again.ONE_LESS) {
                        rows.remove(2);
                    }
                    return rows.iterator();
                });
        try (EvenRows even = EvenRows.of(input, RowColumns.ofPrompts(0))) {
            assertThat(even.dealt(2).collect()).hasSize(3);
            assertThat(READINGS).hasValue(1);
            even.source().unpersist(true); // as when the executor that holds it is lost
            if (again == Again.THE_SAME) {
                assertThat(even.dealt(2).collect()).hasSize(3);
            } else {
                assertThatThrownBy(() -> even.dealt(2).collect())
                        .hasMessageContainingAll(
                                "LOCKSTEP-1012 INPUT_FAILED  partition 0 of the input had to be read again and is not what it was",
                                "Dataset.checkpoint()");
            }
        }
    }
}
