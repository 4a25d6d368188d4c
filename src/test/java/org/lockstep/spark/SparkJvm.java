package org.lockstep.spark;

import java.util.List;
import org.apache.spark.launcher.JavaModuleOptions;

/** The options that Spark's own scripts start a JVM with. */
public final class SparkJvm {
    private SparkJvm() {}

    public static List<String> options() {
        return List.of(JavaModuleOptions.defaultModuleOptions().trim().split("\\s+"));
    }
}
