package org.lockstep.spark;

import java.io.File;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.Assumptions;

/** Spark sessions for tests: quiet, without a UI, one at a time. */
public final class Sessions {
    private Sessions() {}

    /** Skips the tests of clusters, aloud, where Spark's own executors cannot start. */
    public static void assumeThatExecutorsStart() throws IOException {
        try {
            UserGroupInformation.getCurrentUser(); // what an executor does first
        } catch (UnsupportedOperationException e) {
            Assumptions.abort("executors of this Spark do not start on Java "
                    + Runtime.version().feature() + ": its Hadoop says '" + e.getMessage() + "'");
        }
    }

    public static SparkSession local(int slots) {
        return with(Map.of("spark.master", "local[" + slots + "]"));
    }

    /** Two executors of two slots, real JVMs, that run the classes of this build; {@code more} is set besides. */
    static SparkSession twoExecutors(Map<String, String> more) {
        Map<String, String> conf = new HashMap<>(more);
        conf.putIfAbsent("spark.lockstep.slots.wait", "240s"); // they start beside all else that this machine does
        return executors(2, 2, conf);
    }

    /** So many executors of so many slots, as {@link #twoExecutors}. */
    public static SparkSession executors(int executors, int slots, Map<String, String> more) {
        Map<String, String> conf = new HashMap<>(more);
        conf.put("spark.master", "local-cluster[" + executors + "," + slots + ",1024]");
        conf.put("spark.executor.extraClassPath", classes());
        conf.put("spark.executor.memory", "1g");
        return with(conf);
    }

    private static String classes() {
        return new File("target/test-classes").getAbsolutePath()
                + File.pathSeparator
                + new File("target/classes").getAbsolutePath();
    }

    public static SparkSession with(Map<String, String> conf) {
        SparkSession.Builder builder = SparkSession.builder()
                .appName("lockstep-test")
                .config("spark.ui.enabled", "false")
                .config("spark.driver.host", "127.0.0.1")
                .config("spark.driver.bindAddress", "127.0.0.1")
                .config("spark.sql.shuffle.partitions", "4")
                // a Master names applications, and their folders, by the second: so may one of another JVM
                .config(
                        "spark.deploy.appIdPattern",
                        "app-%s-%04d-" + ProcessHandle.current().pid());
        conf.forEach(builder::config);
        return builder.getOrCreate();
    }
}
