/**
 * The command line: what {@code lockstep} and its subcommands accept, print and exit with.
 *
 * <p><b>Belongs here:</b> picocli commands, files of prompts and answers, the progress line, the session of a run without
 * spark-submit. <b>Never here:</b> logic; every command calls what a library user would call. This package may import all
 * others and none imports it.
 *
 * <p>A command is two classes: one with picocli's annotations, which turns words into values, and one that does it with
 * those values. So nothing of Spark is named in what picocli looks at, and {@code lockstep plan} and {@code --help} run
 * where there is no Spark (a test runs them there).
 *
 * <p>{@link org.lockstep.cli.Lockstep#main} is the only place that ends the JVM. Results go to standard output, everything
 * else to standard error, both in UTF-8.
 */
@NullMarked
package org.lockstep.cli;

import org.jspecify.annotations.NullMarked;
