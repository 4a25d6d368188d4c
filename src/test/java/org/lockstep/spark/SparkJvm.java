package org.lockstep.spark;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.spark.launcher.JavaModuleOptions;

/** The options that Spark's own scripts start a JVM with. */
public final class SparkJvm {
    private SparkJvm() {}

    /** How a Java like this one begins that runs Spark: its program and those options, to be added to. */
    public static List<String> command() {
        List<String> words = new ArrayList<>();
        words.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        words.addAll(options());
        return words;
    }

    public static List<String> options() {
        return List.of(JavaModuleOptions.defaultModuleOptions().trim().split("\\s+"));
    }
}
