/**
 * What a user calls: {@link org.lockstep.spark.Llm} for a model over the rows of a Dataset, {@link
 * org.lockstep.spark.BarrierStage} for ranks and communicators alone. With its sub-rooms the only place with Spark and Scala in
 * it. Never here: maths, protocols, arithmetic of groups.
 *
 * <p>A barrier stage starts one task per rank; one {@code allGather} exchanges records; the rest is our own. A run goes through
 * the sub-rooms in this order, each of which knows only those before it:
 *
 * <pre>
 * settings → failure → preflight → device → gang → rows → attempt     and report, which only reads
 * </pre>
 *
 * <p>{@code metrics} stands beside them: a plugin of Spark, which a run does not know of.
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
