package org.lockstep.spark.rows;

import java.io.Serializable;
import java.util.ArrayList;
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
     * @throws LockstepException INPUT_FAILED
     */
    public static EvenRows of(JavaRDD<Row> input, RowColumns columns) {
        JavaRDD<Row> source = input.persist(StorageLevel.MEMORY_AND_DISK());
        try {
            return number(source, columns);
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

    private static EvenRows number(JavaRDD<Row> source, RowColumns columns) {
        List<PromptDigest> parts = source.mapPartitions(
                        rows -> List.of(PromptDigest.of(rows, columns)).iterator())
                .collect();
        List<Part> numbered = new ArrayList<>();
        PromptDigest all = PromptDigest.NONE;
        for (PromptDigest part : parts) {
            numbered.add(new Part(all.rows(), part, columns));
            all = all.then(part);
        }
        return new EvenRows(
                all,
                source.mapPartitionsWithIndex(
                        (partition, rows) -> numbered.get(partition).number(partition, rows), false),
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

    /**
     * A partition of the input as it was when the run began. It may be read again, where an executor that held it is lost, and a
     * source without an order of its own then gives its rows in another: their numbers, by which answers find their rows, would
     * be wrong.
     *
     * @param start the number of its first row
     * @param prompts of all its rows
     * @param columns which of its columns these digest
     */
    private record Part(long start, PromptDigest prompts, RowColumns columns) implements Serializable {
        /** Numbers its rows. Throws where they end if they are not those that were there; a task that reads them fails then. */
        Iterator<IndexedRow> number(int partition, Iterator<Row> rows) {
            PromptDigest.Running seen = new PromptDigest.Running();
            return new Iterator<>() {
                private long next = start;

                @Override
                public boolean hasNext() {
                    if (!rows.hasNext() && !seen.digest().equals(prompts)) {
                        throw changed(partition);
                    }
                    return rows.hasNext();
                }

                @Override
                public IndexedRow next() {
                    Row row = rows.next();
                    seen.add(row, columns);
                    return new IndexedRow(next++, row);
                }
            };
        }

        private static LockstepException changed(int partition) {
            return LockstepException.report(
                            ErrorCode.INPUT_FAILED,
                            "partition " + partition
                                    + " of the input had to be read again and is not what it was when the"
                                    + " run began: other rows, or another order")
                    .attempt("an input that is the same whenever it is read: write it to files first, or"
                            + " Dataset.checkpoint() it")
                    .exception();
        }
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
