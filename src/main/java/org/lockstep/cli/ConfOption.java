package org.lockstep.cli;

import java.util.Map;
import picocli.CommandLine.Option;

/** Settings of the Spark of a command that spark-submit does not start. */
@OptionGroup("Spark")
final class ConfOption {
    @Option(
            names = "--conf",
            paramLabel = "KEY=VALUE",
            description = "Setting of Spark, or of Lockstep (spark.lockstep.*), for a run without spark-submit; may be"
                    + " repeated.")
    private Map<String, String> settings = Map.of();

    Map<String, String> settings() {
        return settings;
    }
}
