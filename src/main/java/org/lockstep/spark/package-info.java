/**
 * Driver and task glue, and the only room with Spark and Scala in it: what a user calls ({@link org.lockstep.spark.Llm},
 * {@link org.lockstep.spark.BarrierStage}), what is checked before a launch, and what surrounds a rank's code in its task.
 *
 * <p>A barrier stage starts one task per rank; one {@code allGather} exchanges records; the rest is our own. Never here:
 * maths, protocols, arithmetic of groups.
 *
 * <p>A rank is not its task: {@code Tenancy} is one task's time as a rank, {@code LiveRank} what the rank holds, and between
 * two runs of an {@code Llm} it waits among the {@code Residents} of its JVM, a broadcast. At the next meeting each task
 * says which rank it found; where those are all ranks of one world, it goes on, else everything is made anew from the same
 * meeting. {@code Residence} is the driver's side of that.
 *
 * <p>A run is attempts: {@code AttemptLoop} makes them on the driver, {@code Launch} is one, {@code AttemptFailure} says
 * whether another could do better. Tasks read and commit finished rows through {@code KeptResults}.
 *
 * <pre>{@code
 * Llm llm = Llm.load(spark, "/models/Llama-3.1-8B").tensorParallel(4).pipelineParallel(2);
 * System.out.println(llm.plan());
 * Dataset<Row> answers = llm.generate(questions, "prompt", SamplingParams.greedy().withMaxTokens(128));
 * }</pre>
 */
@NullMarked
package org.lockstep.spark;

import org.jspecify.annotations.NullMarked;
