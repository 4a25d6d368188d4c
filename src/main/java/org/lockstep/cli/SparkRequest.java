package org.lockstep.cli;

import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The Spark that a command needs.
 *
 * @param name of the application
 * @param master for a run without spark-submit, null for local
 * @param slots that a local one shall have
 * @param conf for a run without spark-submit
 * @param verbose whether its log is shown
 */
record SparkRequest(String name, @Nullable String master, int slots, Map<String, String> conf, boolean verbose) {
    SparkRequest {
        conf = Map.copyOf(conf);
    }

    String masterOrLocal() {
        return master != null ? master : "local[" + slots + "]";
    }
}
