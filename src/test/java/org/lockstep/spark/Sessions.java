package org.lockstep.spark;

import java.util.Map;
import org.apache.spark.sql.SparkSession;

/** Spark sessions for tests: quiet, without a UI, one at a time. */
final class Sessions {
    private Sessions() {}

    static SparkSession local(int slots) {
        return with(Map.of("spark.master", "local[" + slots + "]"));
    }

    static SparkSession with(Map<String, String> conf) {
        SparkSession.Builder builder = SparkSession.builder()
                .appName("lockstep-test")
                .config("spark.ui.enabled", "false")
                .config("spark.driver.host", "127.0.0.1")
                .config("spark.driver.bindAddress", "127.0.0.1")
                .config("spark.sql.shuffle.partitions", "4");
        conf.forEach(builder::config);
        return builder.getOrCreate();
    }
}
