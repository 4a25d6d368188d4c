package org.lockstep.spark.gang;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.Serializable;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.LockstepException;
import org.lockstep.rendezvous.Venue;
import org.lockstep.spark.Sessions;
import scala.collection.Iterator;
import scala.reflect.ClassTag$;
import scala.runtime.AbstractFunction1;

@Timeout(value = 2, unit = TimeUnit.MINUTES)
class BarrierRendezvousTest {
    @Test
    @FaultCase("F48")
    void outsideABarrierStageThereIsNoMeeting() throws IOException {
        assertThatThrownBy(() -> BarrierRendezvous.ofCurrentTask(Venue::new, Duration.ofSeconds(1)))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.NOT_IN_BARRIER_STAGE))
                .hasMessageContaining("no Spark task");
        try (SparkSession spark = Sessions.local(1)) {
            assertThatThrownBy(() -> JavaSparkContext.fromSparkContext(spark.sparkContext())
                            .parallelize(List.of(0), 1)
                            .map(i -> BarrierRendezvous.ofCurrentTask(Venue::new, Duration.ofSeconds(1))
                                    .index())
                            .collect())
                    .hasMessageContaining("no barrier stage");
        }
    }

    /** In a task whose executor Spark knows by {@code place}. */
    private static final class Address extends AbstractFunction1<Iterator<Integer>, Iterator<String>>
            implements Serializable {
        private static final long serialVersionUID = 1;
        private final String place;

        Address(String place) {
            this.place = place;
        }

        @Override
        public Iterator<String> apply(Iterator<Integer> none) {
            TaskContext.get().getLocalProperties().setProperty("addresses", place);
            String literal = BarrierRendezvous.ofCurrentTask(Venue::new, Duration.ofSeconds(1))
                    .address()
                    .getHostAddress();
            return ScalaIterators.toScala(List.of(literal).iterator(), failure -> {});
        }
    }

    private static List<String> addressIn(SparkSession spark, String place) {
        return JavaSparkContext.fromSparkContext(spark.sparkContext())
                .parallelize(List.of(0), 1)
                .rdd()
                .barrier()
                .mapPartitions(new Address(place), false, ClassTag$.MODULE$.apply(String.class))
                .toJavaRDD()
                .collect();
    }

    @Test
    @FaultCase({"F38", "F39"})
    void theAddressIsOfSparksNameOfTheHost() throws IOException {
        try (SparkSession spark = Sessions.local(1)) {
            assertThat(addressIn(spark, "127.0.0.7:7077")).containsExactly("127.0.0.7");
            assertThat(addressIn(spark, "[::1]:7077")).containsExactly("0:0:0:0:0:0:0:1");
            assertThatThrownBy(() -> addressIn(spark, "nowhere.invalid:7077"))
                    .hasMessageContaining("RENDEZVOUS_FAILED")
                    .hasMessageContaining("Spark's name of this host, nowhere.invalid, does not resolve here")
                    .hasMessageContaining("partition 0 on nowhere.invalid:7077");
        }
    }
}
