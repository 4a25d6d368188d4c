// Databricks notebook source
// MAGIC %md
// MAGIC # 1 · Ranks and groups
// MAGIC Lockstep turns a Spark barrier stage into a world of ranks, and the ranks into the tensor-, pipeline- and data-parallel
// MAGIC groups of Megatron and vLLM. This notebook shows who is in which group, before anything runs and while it runs.
// MAGIC
// MAGIC It runs as it stands on a laptop without a GPU (`local[4]` or more) and on a cluster. Attach
// MAGIC `lockstep-0.1.0-all.jar` first; on Databricks the compute needs the access mode *Dedicated*.

// COMMAND ----------

// a directory of Hugging Face's that the driver and all executors see, or the model that comes with Lockstep
dbutils.widgets.text("model", "bundled", "model")
val model = dbutils.widgets.get("model")

// COMMAND ----------

// MAGIC %md
// MAGIC ## The plan
// MAGIC `tensor 2 × pipeline 2`: the ranks of a row share every layer of that row; the rows follow each other. What remains of
// MAGIC the slots becomes replicas. Nothing is launched yet, and what could not run is refused here, with the sum.

// COMMAND ----------

import org.lockstep.spark.Llm

val llm = (if (model == "bundled") Llm.bundled(spark) else Llm.load(spark, model))
  .tensorParallel(2).pipelineParallel(2).dataParallel(1)
println(llm.plan())

// COMMAND ----------

displayHTML(llm.plan().html())

// COMMAND ----------

// MAGIC %md
// MAGIC ## A larger machine
// MAGIC Groups are arithmetic: no cluster is needed to look at 16 ranks. Lockstep places ranks by host
// MAGIC and device, never by partition, so that tensor groups stay where the fast links are.

// COMMAND ----------

import org.lockstep.topology.{GroupKind, MachinePicture, ParallelSizes, ProcessGrid, RankOrder}
import scala.jdk.CollectionConverters._

val grid = ProcessGrid.of(16, ParallelSizes.tensor(4).withPipeline(2), RankOrder.DEFAULT)
println(MachinePicture.of(grid))
println(MachinePicture.of(grid).groups())

// COMMAND ----------

// what rank 5 of them knows, with the names of Megatron
val state = grid.state(5)
println(s"tensor rank ${state.tensorModelParallelRank()} of ${state.tensorModelParallelWorldSize()}")
println(s"pipeline stage ${state.pipelineModelParallelRank()}, next is rank ${state.pipelineModelParallelNextRank()}")
println(s"its data-parallel group: ${state.dataParallelGroup()}")

// COMMAND ----------

// MAGIC %md
// MAGIC ## Live ranks
// MAGIC The layer below `Llm`: a function that runs once on every rank, with live groups and without our model. One
// MAGIC `BarrierTaskContext.allGather`, about a second, is all that the meeting costs. `collectRanks` runs now; `mapRanks` is an RDD
// MAGIC like any other.

// COMMAND ----------

import org.lockstep.spark.BarrierStage
import org.lockstep.spark.gang.Rank

val numbers = org.apache.spark.api.java.JavaRDD.fromRDD(spark.sparkContext.parallelize(1 to 8, 4))
val places = BarrierStage.over(numbers)
  .`with`(ParallelSizes.tensor(2).withPipeline(2))
  .collectRanks[String]((rank: Rank, mine: java.util.Iterator[Int]) => {
    val tensor = rank.communicators().tensor()
    java.util.List.of(s"rank ${rank.state().rank()}: ${tensor.rankInGroup()} of ${tensor.size()} in its tensor group").iterator()
  })
println(places.asScala.sorted.mkString("\n"))
