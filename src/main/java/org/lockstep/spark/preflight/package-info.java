/**
 * What is looked at on the driver before anything is launched, where Spark would wait in silence: slots, dynamic allocation, GPU
 * requests, memory, descriptors. A finding is a code, a sentence and the line to set; a launch ends at the first that fails, and
 * {@code lockstep doctor} shows all.
 */
@NullMarked
package org.lockstep.spark.preflight;

import org.jspecify.annotations.NullMarked;
