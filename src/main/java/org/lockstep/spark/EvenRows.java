package org.lockstep.spark;

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
import scala.Tuple2;

/**
 * The input's rows numbered in order and dealt to the ranks in equal runs, whatever its partitions were.
 *
 * @param count rows in all
 * @param rows one partition to a rank, each a run of consecutive numbers, in order
 * @param source the input, kept so that counting it and dealing it see the same rows
 */
record EvenRows(long count, JavaRDD<IndexedRow> rows, JavaRDD<Row> source) implements AutoCloseable {

    static EvenRows of(JavaRDD<Row> input, int ranks) {
        JavaRDD<Row> source = input.persist(StorageLevel.MEMORY_AND_DISK());
        try {
            return deal(source, ranks);
        } catch (Exception e) { // Scala declares none
            source.unpersist(false);
            String why = String.valueOf(e.getMessage()).lines().findFirst().orElse("");
            throw LockstepException.report(ErrorCode.INPUT_FAILED, "the input rows cannot be read: " + why)
                    .attempt("see the stack below: it is the input's own")
                    .cause(e)
                    .exception();
        }
    }

    private static EvenRows deal(JavaRDD<Row> source, int ranks) {
        List<Long> counts =
                source.mapPartitions(rows -> List.of(count(rows)).iterator()).collect();
        long[] starts = new long[counts.size() + 1];
        for (int i = 0; i < counts.size(); i++) {
            starts[i + 1] = starts[i] + counts.get(i);
        }
        long total = starts[counts.size()];
        JavaRDD<IndexedRow> numbered =
                source.mapPartitionsWithIndex((partition, rows) -> number(starts[partition], rows), false);
        JavaPairRDD<Long, Row> keyed = numbered.mapToPair(row -> new Tuple2<>(row.index(), row.row()));
        JavaRDD<IndexedRow> dealt = keyed.repartitionAndSortWithinPartitions(
                        new Runs(total, ranks), Comparator.<Long>naturalOrder())
                .map(row -> new IndexedRow(row._1(), row._2()));
        return new EvenRows(total, dealt, source);
    }

    private static long count(Iterator<Row> rows) {
        long count = 0;
        for (; rows.hasNext(); rows.next()) {
            count++;
        }
        return count;
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
        source.unpersist(false);
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
