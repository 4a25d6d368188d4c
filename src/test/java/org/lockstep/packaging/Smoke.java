package org.lockstep.packaging;

import java.util.List;
import java.util.stream.IntStream;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.lockstep.collective.ReduceOp;
import org.lockstep.inference.SamplingParams;
import org.lockstep.spark.BarrierStage;
import org.lockstep.spark.Llm;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ParallelSizes;

/**
 * What every Spark that is supported must do with the {@code -all} jar, as a job of spark-submit on four slots: a line
 * {@code smoke NAME ok} for each of topology, collectives, generate and failure; the first that does not hold is thrown.
 * Needs no class but its own, Spark's and ours, so that src/matrix/run.sh can run it on a Spark it was not compiled for.
 */
public final class Smoke {
    private static final ParallelSizes SIZES = ParallelSizes.tensor(2).withPipeline(2);

    private Smoke() {}

    /** Takes no arguments; the master is spark-submit's. Ends the JVM, which a timer of Spark 3.5's barriers keeps alive. */
    public static void main(String[] args) {
        int code = 1;
        SparkSession spark = SparkSession.builder().getOrCreate();
        try {
            topology(spark);
            collectives(spark);
            generate(spark);
            failure(spark);
            code = 0;
        } catch (RuntimeException | Error e) {
            System.out.println("smoke: " + e.getMessage());
            e.printStackTrace();
        } finally {
            spark.stop();
        }
        System.exit(code);
    }

    private static BarrierStage<Integer> fourRanks(SparkSession spark) {
        JavaSparkContext context = JavaSparkContext.fromSparkContext(spark.sparkContext());
        return BarrierStage.over(
                        context.parallelize(IntStream.range(0, 4).boxed().toList(), 4))
                .with(SIZES);
    }

    private static void topology(SparkSession spark) {
        List<String> ranks = fourRanks(spark)
                .mapRanks((rank, mine) -> List.of(rank.state().rank() + " "
                                + rank.world().roster().size())
                        .iterator())
                .collect();
        verify("topology", ranks.stream().sorted().toList().equals(List.of("0 4", "1 4", "2 4", "3 4")), ranks);
    }

    private static void collectives(SparkSession spark) {
        List<Float> sums = fourRanks(spark)
                .mapRanks((rank, mine) -> {
                    HostBuffer world = Buffer.ofFloats(1 << rank.state().rank());
                    rank.communicators().model().allReduce(world, ReduceOp.SUM);
                    HostBuffer tensor = Buffer.ofFloats(1 << rank.state().rank());
                    rank.communicators().tensor().allReduce(tensor, ReduceOp.SUM);
                    return List.of((float) world.get(0), (float) tensor.get(0)).iterator();
                })
                .collect();
        verify(
                "collectives",
                sums.stream().sorted().toList().equals(List.of(3f, 3f, 12f, 12f, 15f, 15f, 15f, 15f)),
                sums);
    }

    /** The second row says how long it may get. */
    private static void generate(SparkSession spark) {
        try (Llm llm = Llm.bundled(spark).tensorParallel(2).pipelineParallel(2).samplingColumn("own")) {
            List<Row> rows = llm.generate(
                            spark.sql("select 'Once upon a time' as prompt, null as own union all"
                                    + " select 'Long ago', named_struct('temperature', 0.0, 'max_tokens', 4)"),
                            "prompt",
                            SamplingParams.greedy().withMaxTokens(16))
                    .collectAsList();
            verify(
                    "generate",
                    rows.size() == 2
                            && rows.get(1).<Integer>getAs("output_tokens") <= 4
                            && rows.stream()
                                    .allMatch(row -> row.getAs("error") == null
                                            && !row.<String>getAs("text").isBlank()),
                    rows);
        }
    }

    /** Rank 3 fails while the others wait for it: they are released, and what it threw is what the driver hears. */
    private static void failure(SparkSession spark) {
        Throwable heard = null;
        try {
            fourRanks(spark)
                    .mapRanks((rank, mine) -> {
                        if (rank.state().rank() == 3) {
                            throw new IllegalStateException("planned: rank 3 cannot go on");
                        }
                        rank.communicators().model().barrier();
                        return mine;
                    })
                    .collect();
        } catch (Exception e) { // Scala declares none
            heard = e;
        }
        String message = String.valueOf(heard);
        verify("failure", message.contains("planned: rank 3 cannot go on"), message);
        verify("after", fourRanks(spark).mapRanks((rank, mine) -> mine).count() == 4, "the same slots");
    }

    private static void verify(String name, boolean holds, Object seen) {
        if (!holds) {
            throw new IllegalStateException("smoke " + name + ": " + seen);
        }
        System.out.println("smoke " + name + " ok");
    }
}
