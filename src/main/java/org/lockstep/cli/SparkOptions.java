package org.lockstep.cli;

import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** The Spark of a command that spark-submit does not start. */
@OptionGroup("Spark")
final class SparkOptions {
    @Option(
            names = "--master",
            paramLabel = "URL",
            description = "Spark master for a run without spark-submit. Default: spark.master of --conf, or else"
                    + " local[N] with a core for each rank, or spark.task.cpus of them.")
    private @Nullable String master;

    @Mixin
    private final ConfOption conf = new ConfOption();

    /** Null where none was given. */
    @Nullable
    String master() {
        return master;
    }

    Map<String, String> conf() {
        return conf.settings();
    }
}
