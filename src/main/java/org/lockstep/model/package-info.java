/**
 * A transformer as maths: its settings ({@link org.lockstep.model.ModelConfig}), its positions
 * ({@link org.lockstep.model.RopeScaling}), and how both divide over tensor and pipeline ranks.
 *
 * <p>Truth is Hugging Face transformers: where a file leaves something out, its default holds; where float32 rounding
 * decides, it is rounded as there. Never here: Spark, sockets, a backend, scheduling, prompts.
 */
@NullMarked
package org.lockstep.model;

import org.jspecify.annotations.NullMarked;
