/**
 * Measuring groups: what each operation costs at each size, on ranks as threads, as JVMs of this host or as tasks of Spark.
 *
 * <p>The numbers are those of nccl-tests (time of a call, algorithm and bus bandwidth, wrong elements), the timing is that
 * of MPI benchmarks: a rank's mean over a batch of calls, of it the slowest rank's, of these the median over the batches.
 * First everything is called until the JIT has compiled it, then everything is measured; in the timed loop is the call
 * alone; of a device's buffers the calls are queued, and waited for once at the end of a batch. What is sent is chosen so that each element of each result is known exactly, and they are compared.
 *
 * <p><b>Belongs here:</b> plans of measurements, the loop, the check, the ways ranks are started, tables and JSON lines.
 * <b>Never here:</b> options and their words ({@code cli}), anything that a group could not do for every user: ranks are
 * measured through {@link org.lockstep.collective.Communicator} alone.
 *
 * <p>A {@link org.lockstep.cli.bench.BenchPlan} of {@link org.lockstep.cli.bench.Case cases} is given to
 * {@link org.lockstep.cli.bench.ThreadRanks}, {@link org.lockstep.cli.bench.JvmRanks} or
 * {@link org.lockstep.cli.bench.SparkRanks}; each rank runs a {@link org.lockstep.cli.bench.Stopwatch} over it, and rank 0
 * reports each {@link org.lockstep.cli.bench.Measurement}.
 */
@NullMarked
package org.lockstep.cli.bench;

import org.jspecify.annotations.NullMarked;
