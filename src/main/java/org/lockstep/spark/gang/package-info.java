/**
 * A rank in its task: the meeting over Spark's {@code allGather}, what surrounds a rank's code, and how a rank outlives its task.
 *
 * <p>A rank is not its task: {@code Tenancy} is one task's time as a rank, {@code LiveRank} what the rank holds, and between two runs of
 * an {@code Llm} it waits among the {@code Residents} of its JVM, a broadcast. At the next meeting each task says which rank it found;
 * where those are all ranks of one world, it goes on, else everything is made anew from the same meeting. {@code Residence} is the
 * driver's side of that.
 */
@NullMarked
package org.lockstep.spark.gang;

import org.jspecify.annotations.NullMarked;
