package org.lockstep.spark;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.spark.launcher.JavaModuleOptions;

/** The options that Spark's own scripts start a JVM with. */
public final class SparkJvm {
    /** For runs whose log must show no trace: Spark logs one if it is so long in starting that its heartbeat comes first. */
    public static final String PATIENT = "spark.executor.heartbeatInterval=60s";

    /** Of a Java that ends before code of the optimising compiler has paid for itself. */
    static final String FIRST_COMPILER = "-XX:TieredStopAtLevel=1";

    private SparkJvm() {}

    /** How a Java like this one begins that runs Spark: its program and those options, to be added to. */
    public static List<String> command() {
        List<String> words = new ArrayList<>();
        words.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        words.addAll(options());
        return words;
    }

    /** As {@link #command}, with the first compiler alone: also of one that lives on and computes nothing. */
    public static List<String> shortLived() {
        List<String> words = command();
        words.add(FIRST_COMPILER);
        return words;
    }

    private static List<String> options() {
        return List.of(JavaModuleOptions.defaultModuleOptions().trim().split("\\s+"));
    }
}
