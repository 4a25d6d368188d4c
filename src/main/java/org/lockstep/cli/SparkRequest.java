package org.lockstep.cli;

import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The Spark that a command needs.
 *
 * @param name of the application
 * @param master for a run without spark-submit, null for that of the configuration, or else a local one
 * @param slots that a local one shall have, of as many cores as its tasks take
 * @param conf for a run without spark-submit
 * @param verbose whether its log is shown
 */
record SparkRequest(String name, @Nullable String master, int slots, Map<String, String> conf, boolean verbose) {
    SparkRequest {
        conf = Map.copyOf(conf);
    }
}
