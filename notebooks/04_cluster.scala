// Databricks notebook source
// MAGIC %md
// MAGIC # 4 · On a cluster
// MAGIC What a cluster needs, what is checked before anything is launched, and what happens when something fails. It runs on a
// MAGIC laptop too, where it shows the same checks.
// MAGIC
// MAGIC | where | what to set |
// MAGIC |---|---|
// MAGIC | everywhere | `spark.dynamicAllocation.enabled false`: a barrier stage needs its slots at once |
// MAGIC | everywhere | `spark.executor.heartbeatInterval 1s`: how often progress comes; Spark's own is 10 s |
// MAGIC | standalone | `conf/spark-defaults.conf`; GPUs: `conf/getGpusResources.sh` as `spark.worker.resource.gpu.discoveryScript` |
// MAGIC | YARN, Kubernetes | the same script as `spark.executor.resource.gpu.discoveryScript` |
// MAGIC | Databricks | access mode *Dedicated*, autoscaling off, the `-all` jar as a library |

// COMMAND ----------

// a directory of Hugging Face's that the driver and all executors see, or the model that comes with Lockstep
dbutils.widgets.text("model", "bundled", "model")
val model = dbutils.widgets.get("model")

// COMMAND ----------

import org.lockstep.spark.Llm
import scala.util.Try

val llm = if (model == "bundled") Llm.bundled(spark) else Llm.load(spark, model)
println(s"master ${spark.sparkContext.master}, ${spark.sparkContext.defaultParallelism} slots")
println(llm.tensorParallel(2).dataParallel(1).plan())

// COMMAND ----------

// MAGIC %md
// MAGIC ## What cannot run is refused at once
// MAGIC With the sum, and what to try; Spark itself would wait ten silent minutes for slots that do not come.

// COMMAND ----------

println(Try(llm.tensorParallel(8).pipelineParallel(64).dataParallel(1).plan()).failed.get.getMessage)
println(Try(llm.tensorParallel(3).dataParallel(1).plan()).failed.get.getMessage)

// COMMAND ----------

// MAGIC %md
// MAGIC ## What fails, names its rank
// MAGIC Rank 1 throws in the middle of a collective. The others are released at once, and the driver's error is the first cause: who is
// MAGIC to blame, where it ran, and who waited for it.

// COMMAND ----------

import org.lockstep.collective.ReduceOp
import org.lockstep.spark.BarrierStage
import org.lockstep.spark.gang.Rank
import org.lockstep.tensor.Buffer
import org.lockstep.topology.ParallelSizes

val numbers = org.apache.spark.api.java.JavaRDD.fromRDD(spark.sparkContext.parallelize(1 to 4, 2))
println(Try(BarrierStage.over(numbers)
  .`with`(ParallelSizes.tensor(2))
  .collectRanks[String]((rank: Rank, mine: java.util.Iterator[Int]) => {
    if (rank.state().rank() == 1) throw new IllegalStateException("this rank's disk is full")
    rank.communicators().tensor().allReduce(Buffer.ofFloats(1f), ReduceOp.SUM)
    java.util.List.of("never").iterator()
  })).failed.get.getMessage)

// COMMAND ----------

// MAGIC %md
// MAGIC ## And the executors can be used again

// COMMAND ----------

import org.lockstep.inference.SamplingParams

val few = llm.tensorParallel(2).dataParallel(1)
val text = few.generate(java.util.List.of("Once upon a time"), SamplingParams.greedy().withMaxTokens(24)).get(0)
println("Once upon a time" + text)

// COMMAND ----------

// MAGIC %md
// MAGIC ## A run that is stopped goes on
// MAGIC With a folder of its own a run keeps its rows as they are done, about once a second; on a cluster, a folder that the driver and
// MAGIC all executors share. This one takes its rows one by one, so that there is time to stop it, as the stop button would, when eight
// MAGIC are done. It says what is kept.

// COMMAND ----------

import org.lockstep.spark.report.ProgressLines
import scala.util.{Failure, Success}

val folder = java.nio.file.Files.createTempDirectory("lockstep-notebook").resolve("kept").toString
val many = spark.createDataFrame((0 until 64).map(i => (i, s"Once upon a time, $i crows"))).toDF("id", "prompt")
val sampled = SamplingParams.DEFAULT.withMaxTokens(64).withSeed(7L)
val careful = few.checkpointDir(folder)

val show = ProgressLines.to(Console.out)
spark.sparkContext.setJobGroup("careful", "a run that is stopped", true)
val stopped = Try(careful.maxSequences(1).onProgress(now => {
  show.accept(now)
  if (now.rowsDone >= 8) spark.sparkContext.cancelJobGroup("careful")
}).run(many, "prompt", sampled))
spark.sparkContext.clearJobGroup()
stopped match {
  case Failure(why) => println(why.getMessage)
  case Success(done) => println("it was done before it could be stopped: " + done.report())
}

// COMMAND ----------

// MAGIC %md
// MAGIC The same run with `resume` does the rest, in this session or in another one. What is kept stands as it is. A row's text depends
// MAGIC on its number, its prompt and the seed alone: on CPUs the answers are, word for word, those of a run that nobody stopped.

// COMMAND ----------

val rest = careful.resume(true).onProgress(ProgressLines.to(Console.out)).run(many, "prompt", sampled)
println(s"${rest.report().rowsKept()} rows were kept, ${rest.report().rows() - rest.report().rowsKept()} are done now")
println(rest.report())
display(rest.rows().selectExpr("id", "prompt || text as story").limit(4))

// COMMAND ----------

// what was kept is not needed any more; the executors give back memory and threads
rest.discard()
few.close()
