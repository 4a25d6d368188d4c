/**
 * What a user may set by {@code spark.lockstep.*}: every key once, with its default, its meaning and how its text is read. An
 * unknown key is an error that names the nearest. Never here: what a key does.
 */
@NullMarked
package org.lockstep.spark.settings;

import org.jspecify.annotations.NullMarked;
