// Databricks notebook source
// MAGIC %md
// MAGIC # 2 · Collectives
// MAGIC The groups of a barrier stage carry the collectives of NCCL and MPI: all-reduce, all-gather, reduce-scatter, all-to-all,
// MAGIC broadcast, send and receive, and more. Between threads of a JVM they go through the heap, between JVMs of a host through
// MAGIC shared memory, between hosts through TCP. Their results are equal bit by bit on all ranks and in every run.

// COMMAND ----------

import org.lockstep.collective.ReduceOp
import org.lockstep.spark.BarrierStage
import org.lockstep.spark.gang.Rank
import org.lockstep.tensor.Buffer
import org.lockstep.topology.ParallelSizes
import scala.jdk.CollectionConverters._

val numbers = org.apache.spark.api.java.JavaRDD.fromRDD(spark.sparkContext.parallelize(1 to 8, 4))
val stage = BarrierStage.over(numbers).`with`(ParallelSizes.tensor(2).withPipeline(2))

// COMMAND ----------

// each rank brings its number; the ranks of a tensor group add theirs, and all get the sum
val sums = stage.collectRanks[String]((rank: Rank, mine: java.util.Iterator[Int]) => {
  val x = Buffer.ofFloats(rank.state().rank())
  rank.communicators().tensor().allReduce(x, ReduceOp.SUM)
  java.util.List.of(s"rank ${rank.state().rank()}: ${x.get(0)}").iterator()
})
println(sums.asScala.sorted.mkString("\n"))

// COMMAND ----------

// the rows of a partition are the rank's own: a sum over all rows of the cluster without a shuffle
val totals = stage.collectRanks[String]((rank: Rank, mine: java.util.Iterator[Int]) => {
  var own = 0f
  while (mine.hasNext) own += mine.next()
  val x = Buffer.ofFloats(own)
  rank.communicators().world().allReduce(x, ReduceOp.SUM)
  java.util.List.of(s"rank ${rank.state().rank()}: $own of ${x.get(0)}").iterator()
})
println(totals.asScala.sorted.mkString("\n"))

// COMMAND ----------

// MAGIC %md
// MAGIC ## How long does an all-reduce take here?
// MAGIC Rank 0's clock around many calls, for each size. `lockstep bench all-reduce` measures with more care, like nccl-tests:
// MAGIC the slowest rank's time, medians of batches, every element checked.

// COMMAND ----------

val sizes = (2 to 22 by 2).map(1 << _)
val times = stage.collectRanks[String]((rank: Rank, mine: java.util.Iterator[Int]) => {
  val world = rank.communicators().world()
  val lines = (2 to 22 by 2).map(1 << _).map { bytes =>
    val x = Buffer.ofFloats(new Array[Float](bytes / 4): _*)
    val calls = math.max(20, math.min(2000, (1 << 24) / bytes))
    for (_ <- 1 to calls) world.allReduce(x, ReduceOp.SUM) // until Java has compiled it
    val start = System.nanoTime()
    for (_ <- 1 to calls) world.allReduce(x, ReduceOp.SUM)
    s"$bytes ${(System.nanoTime() - start) / 1e3 / calls}"
  }
  (if (rank.state().rank() == 0) lines else Seq.empty[String]).iterator.asJava
}).asScala.map(_.split(" ")).map(word => (word(0).toDouble, word(1).toDouble))
times.foreach { case (bytes, micros) => println(f"$bytes%12.0f bytes $micros%12.1f µs") }

// COMMAND ----------

import org.lockstep.report.{Chart, Page}

val line = new Chart.Line("4 ranks", times.map { case (bytes, micros) => new Chart.Point(bytes, micros) }.asJava)
displayHTML(
  Page.titled("All-reduce", "Ranks of one barrier stage, sum of f32")
    .chart(new Chart.Lines("Time of a call", "Smaller is better; both axes are logarithmic.", "bytes", "µs", true,
      java.util.List.of(line)))
    .html())

// COMMAND ----------

// MAGIC %md
// MAGIC ## What if ranks disagree?
// MAGIC Every frame carries its operation's fingerprint. Here rank 1 asks for the maximum where the others ask for the sum: no
// MAGIC rank hangs, and the error names both sides.

// COMMAND ----------

println(scala.util.Try(stage.collectRanks[String]((rank: Rank, mine: java.util.Iterator[Int]) => {
  val x = Buffer.ofFloats(rank.state().rank())
  rank.communicators().world().allReduce(x, if (rank.state().rank() == 1) ReduceOp.MAX else ReduceOp.SUM)
  java.util.List.of("never").iterator()
})).failed.get.getMessage)
