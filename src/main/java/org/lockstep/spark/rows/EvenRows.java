package org.lockstep.spark.rows;

import java.util.Comparator;
import java.util.Iterator;
import java.util.List;
import org.apache.spark.Partitioner;
import org.apache.spark.api.java.JavaPairRDD;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.sql.Row;
import org.apache.spark.storage.StorageLevel;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.spark.failure.AttemptFailure;
import scala.Tuple2;

/**
 * The input's rows numbered in order, to be dealt to ranks in equal runs, whatever its partitions were.
 *
 * @param prompts what they are, in short
 * @param rows numbered, in the input's partitions
 * @param source the input, kept so that counting it and dealing it see the same rows
 */
public record EvenRows(PromptDigest prompts, JavaRDD<IndexedRow> rows, JavaRDD<Row> source) implements AutoCloseable {

    /**
     * Reads the input.
     *
     * @param promptColumn place of the column of strings
     * @throws LockstepException INPUT_FAILED
     */
    public static EvenRows of(JavaRDD<Row> input, int promptColumn) {
        JavaRDD<Row> source = input.persist(StorageLevel.MEMORY_AND_DISK());
        try {
            return number(source, promptColumn);
        } catch (Exception e) { // Scala declares none
            source.unpersist(false);
            if (AttemptFailure.isCancelled(source.rdd().sparkContext(), e)) {
                throw AttemptFailure.cancelled(e);
            }
            String why = String.valueOf(e.getMessage()).lines().findFirst().orElse("");
            throw LockstepException.report(ErrorCode.INPUT_FAILED, "the input rows cannot be read: " + why)
                    .attempt("see the stack below: it is the input's own")
                    .cause(e)
                    .exception();
        }
    }

    private static EvenRows number(JavaRDD<Row> source, int promptColumn) {
        List<PromptDigest> parts = source.mapPartitions(
                        rows -> List.of(PromptDigest.of(rows, promptColumn)).iterator())
                .collect();
        long[] starts = new long[parts.size()];
        PromptDigest all = PromptDigest.NONE;
        for (int i = 0; i < parts.size(); i++) {
            starts[i] = all.rows();
            all = all.then(parts.get(i));
        }
        return new EvenRows(
                all,
                source.mapPartitionsWithIndex((partition, rows) -> number(starts[partition], rows), false),
                source);
    }

    /** Rows in all. */
    public long count() {
        return prompts.rows();
    }

    /** One partition to a rank, each a run of consecutive numbers, in order. */
    public JavaRDD<IndexedRow> dealt(int ranks) {
        JavaPairRDD<Long, Row> keyed = rows.mapToPair(row -> new Tuple2<>(row.index(), row.row()));
        return keyed.repartitionAndSortWithinPartitions(new Runs(count(), ranks), Comparator.<Long>naturalOrder())
                .map(row -> new IndexedRow(row._1(), row._2()));
    }

    private static Iterator<IndexedRow> number(long start, Iterator<Row> rows) {
        return new Iterator<>() {
            private long next = start;

            @Override
            public boolean hasNext() {
                return rows.hasNext();
            }

            @Override
            public IndexedRow next() {
                return new IndexedRow(next++, rows.next());
            }
        };
    }

    /** Lets go of the input. */
    @Override
    public void close() {
        boolean interrupted = Thread.interrupted(); // Spark asks over the network, and would give up
        try {
            if (!source.rdd().sparkContext().isStopped()) {
                source.unpersist(false);
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** Run r holds the numbers from r · total / runs on. */
    private static final class Runs extends Partitioner {
        private static final long serialVersionUID = 1;

        private final long total;
        private final int runs;

        Runs(long total, int runs) {
            this.total = total;
            this.runs = runs;
        }

        @Override
        public int numPartitions() {
            return runs;
        }

        @Override
        public int getPartition(Object key) {
            return (int) ((Long) key * runs / total);
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Runs that && that.total == total && that.runs == runs;
        }

        @Override
        public int hashCode() {
            return Long.hashCode(total) * 31 + runs;
        }
    }
}
