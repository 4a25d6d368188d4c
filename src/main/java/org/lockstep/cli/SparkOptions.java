package org.lockstep.cli;

import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The Spark of a command that spark-submit does not start. */
final class SparkOptions {
    @Option(
            names = "--master",
            paramLabel = "URL",
            description = "Spark master for a run without spark-submit. Default: local[world size]; of bench none, its"
                    + " ranks then live where --place says.")
    private @Nullable String master;

    @Option(
            names = "--conf",
            paramLabel = "KEY=VALUE",
            description = "Setting of Spark for a run without spark-submit; may be repeated.")
    private Map<String, String> conf = Map.of();

    /** Null where none was given. */
    @Nullable
    String master() {
        return master;
    }

    Map<String, String> conf() {
        return conf;
    }
}
