// Databricks notebook source
// MAGIC %md
// MAGIC # First story
// MAGIC A model spread over the ranks of a Spark barrier stage, from a notebook cell. Runs as it stands on a laptop
// MAGIC (`local[4]`, no GPU) and on a cluster; attach `lockstep-0.1.0-all.jar` as a library first.

// COMMAND ----------

import org.lockstep.inference.SamplingParams
import org.lockstep.spark.Llm

// the model that comes with Lockstep; Llm.load(spark, "/models/...") for one of your own
val llm = Llm.bundled(spark).tensorParallel(2).pipelineParallel(2)

// the machine, before anything is launched
println(llm.plan())

// COMMAND ----------

import scala.jdk.CollectionConverters._

val stories = llm.generate(
  java.util.List.of("Once upon a time", "The owl said"),
  SamplingParams.DEFAULT.withTemperature(0.8).withTopP(0.95).withMaxTokens(200))
stories.asScala.foreach(println)

// COMMAND ----------

// rows in, rows out: every column is carried through, a bad row carries its error
val questions = spark.createDataFrame(Seq((1, "Long ago"), (2, "One rainy morning,"), (3, null))).toDF("id", "prompt")
val answers = llm.generate(questions, "prompt", SamplingParams.greedy().withMaxTokens(32))
answers.show(false)

// COMMAND ----------

// the layer below: ranks and communicators without our model
import org.lockstep.collective.ReduceOp
import org.lockstep.spark.{BarrierStage, Rank}
import org.lockstep.tensor.Buffer
import org.lockstep.topology.ParallelSizes

val numbers = org.apache.spark.api.java.JavaRDD.fromRDD(spark.sparkContext.parallelize(1 to 8, 4))
val sums = BarrierStage.over(numbers)
  .`with`(ParallelSizes.tensor(2).withPipeline(2))
  .mapRanks[String]((rank: Rank, mine: java.util.Iterator[Int]) => {
    val x = Buffer.ofFloats(rank.state().rank())
    rank.communicators().tensor().allReduce(x, ReduceOp.SUM)
    java.util.List.of(s"rank ${rank.state().rank()}: ${x.get(0)}").iterator()
  })
println(sums.collect().asScala.sorted.mkString("\n"))
