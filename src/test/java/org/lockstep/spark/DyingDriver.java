package org.lockstep.spark;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.lockstep.inference.SamplingParams;

/** A driver in a process of its own, that says which processes its executors are, then generates until somebody ends it. */
final class DyingDriver {
    static final int ROWS = 96;

    /** Few tokens of many rows: the first rows are kept soon, and most are to come. */
    static final SamplingParams PARAMS =
            SamplingParams.greedy().withMaxTokens(32).withIgnoreEos(true);

    private DyingDriver() {}

    /** The directory in which it keeps what is done. */
    public static void main(String[] arguments) throws IOException {
        try (SparkSession session = Sessions.twoExecutors(Map.of())) {
            try (Llm llm = llm(session, arguments[0])) {
                llm.plan(); // waits for the executors
                System.out.println("executors " + executors(session));
                llm.run(rows(session), "prompt", PARAMS);
            }
        }
    }

    /** Whose first run in this directory keeps its first rows, and goes on with {@link HeldRanks#letGo}. */
    static Llm llm(SparkSession session, String directory) {
        return Llm.bundled(session)
                .backend(new HeldRanks(directory, 200, 4))
                .tensorParallel(2)
                .pipelineParallel(2)
                .maxSequences(4)
                .checkpointDir(directory);
    }

    static Dataset<Row> rows(SparkSession session) {
        List<String> prompts = IntStream.range(0, ROWS)
                .mapToObj(i -> "Once upon a time, " + i + " crows")
                .toList();
        return session.createDataset(prompts, Encoders.STRING()).toDF("prompt");
    }

    /** Their process ids, while nothing else runs there. */
    static String executors(SparkSession session) {
        return JavaSparkContext.fromSparkContext(session.sparkContext())
                .parallelize(IntStream.range(0, 32).boxed().toList(), 32)
                .map(i -> Long.toString(ProcessHandle.current().pid()))
                .distinct()
                .collect()
                .stream()
                .sorted()
                .collect(Collectors.joining(" "));
    }
}
