// Databricks notebook source
// MAGIC %md
// MAGIC # 3 · Generate
// MAGIC A DataFrame of prompts in, the same rows with their answers out: every column is carried through, the order stays, and a
// MAGIC row that cannot be answered carries its error and harms no other.

// COMMAND ----------

// a directory of Hugging Face's that the driver and all executors see, or the model that comes with Lockstep
dbutils.widgets.text("model", "bundled", "model")
val model = dbutils.widgets.get("model")

// COMMAND ----------

import org.lockstep.inference.SamplingParams
import org.lockstep.spark.Llm

val llm = (if (model == "bundled") Llm.bundled(spark) else Llm.load(spark, model)).tensorParallel(2).dataParallel(2)
println(llm.plan())

// COMMAND ----------

val questions = spark.createDataFrame(Seq(
  (1, "Once upon a time"),
  (2, "The owl said"),
  (3, "One rainy morning,"),
  (4, null))).toDF("id", "prompt")
val answers = llm.generate(questions, "prompt", SamplingParams.greedy().withMaxTokens(48))
display(answers)

// COMMAND ----------

// MAGIC %md
// MAGIC ## A second run starts at once
// MAGIC Loaded shards and connected groups stay in the executors until `llm.close()` or ten idle minutes: "stayed loaded" in the
// MAGIC line below. On CPUs the order of rows, batch sizes and parallel sizes change no greedy answer; on GPUs cuBLAS sums in an order
// MAGIC of its own, and a near tie may go the other way. While it runs, a line tells now and then how far it is, as often as executors
// MAGIC report (`spark.executor.heartbeatInterval`).

// COMMAND ----------

import org.lockstep.spark.report.ProgressLines

val beginnings = Seq("Long ago,", "A small bird", "In the forest", "The old king", "One day a fox", "Every evening")
val many = spark.createDataFrame((0 until 48).map(i => (i, beginnings(i % beginnings.size)))).toDF("id", "prompt")
val run = llm
  .onProgress(ProgressLines.to(Console.out))
  .run(many, "prompt", SamplingParams.DEFAULT.withTemperature(0.8).withTopP(0.95).withMaxTokens(96).withSeed(7L))
println(run.report())

// COMMAND ----------

// MAGIC %md
// MAGIC ## A step of a chain
// MAGIC `llm.on(column, params)` is what `Dataset.transform` takes, with the methods of a Transformer. The run happens there, eagerly;
// MAGIC what follows works on its answers.

// COMMAND ----------

val short = llm.on("prompt", SamplingParams.greedy().withMaxTokens(16))
display(questions.where("prompt is not null").transform(short).selectExpr("id", "prompt || text as story", "output_tokens"))

// COMMAND ----------

// MAGIC %md
// MAGIC ## What did the machine do?
// MAGIC The report is one page without any link to the outside: for a cell, a file or a mail.

// COMMAND ----------

displayHTML(run.html())

// COMMAND ----------

// MAGIC %md
// MAGIC ## Batches
// MAGIC Rows join and leave a running batch between two steps. More rows at once give more tokens per second and a longer wait
// MAGIC for each of them.

// COMMAND ----------

for (rows <- Seq(1, 4, 16)) {
  val sized = llm.maxSequences(rows)
  val report = sized.run(many.limit(16), "prompt", SamplingParams.greedy().withMaxTokens(32)).report()
  println(f"$rows%3d rows at once: ${report.tokensPerSecond()}%,.0f tokens/s")
}

// COMMAND ----------

// gives memory and threads of the executors back now
llm.close()
