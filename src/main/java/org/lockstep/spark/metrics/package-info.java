/**
 * An optional plugin of Spark ({@code spark.plugins}) that feeds its metrics, so that Spark's own sinks (Prometheus, JMX, CSV,
 * the JSON servlet) show what ranks did.
 *
 * <p><b>How figures come here.</b> Ranks count in Spark accumulators, which Spark carries to the driver anyway and keeps in the
 * description of the stage. The plugin of the driver listens for the end of stages and reads them there. So the code of a rank
 * need not find the plugin of its JVM, which would take a mutable static, and there is no second channel that could fail. What it
 * costs: figures move when a stage ends, by what its ranks that ended well have counted. Live ones are on Spark's stage page and
 * in the progress of {@code Llm}.
 *
 * <p><b>Never here:</b> what a run needs; without the plugin everything works.
 */
@NullMarked
package org.lockstep.spark.metrics;

import org.jspecify.annotations.NullMarked;
