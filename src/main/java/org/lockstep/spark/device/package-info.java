/**
 * What a rank computes on: CPUs, or the GPU that Spark gave its task. A {@code BackendFactory} is a value that travels to the task and
 * opens the backend there. Never here: kernels, memory of a device.
 */
@NullMarked
package org.lockstep.spark.device;

import org.jspecify.annotations.NullMarked;
