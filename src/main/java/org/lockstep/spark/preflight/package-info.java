/**
 * What is looked at before anything is launched, where Spark would wait in silence: on the driver slots, dynamic allocation and GPU
 * requests, and for {@code lockstep doctor} the machine of each executor ({@code MachineLook} sees, {@code MachineFindings} judges).
 * A {@code Finding} is a code, a sentence and the line to set; a launch ends at the first that fails, doctor shows all.
 */
@NullMarked
package org.lockstep.spark.preflight;

import org.jspecify.annotations.NullMarked;
