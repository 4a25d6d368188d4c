package org.lockstep.spark;

import java.util.Iterator;
import java.util.Optional;
import java.util.function.BiConsumer;
import java.util.stream.Stream;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.inference.PromptCheck;
import org.lockstep.inference.Request;
import org.lockstep.inference.SamplingJson;
import org.lockstep.spark.rows.IndexedRow;
import org.lockstep.spark.rows.RowColumns;

/**
 * What rows ask for. Their prompts are tokenised one by one, as the requests are taken. Confined to one thread.
 *
 * @param sampling of rows that say how they are sampled, and of the others
 */
record RowRequests(PromptCheck prompts, SamplingJson sampling, RowColumns columns) {

    /**
     * The requests of these rows, in order, but for those that cannot be completed.
     *
     * <p>A million prompts take minutes, in which the rank is in no operation that hears of an abort: so the iterator throws
     * ABORTED as soon as its thread is interrupted.
     *
     * @param refused hears of each of the others, and, as the error contract words it, why
     */
    Iterator<Request> of(Stream<IndexedRow> rows, BiConsumer<IndexedRow, String> refused) {
        return rows.flatMap(row -> request(row, refused).stream()).iterator();
    }

    private Optional<Request> request(IndexedRow row, BiConsumer<IndexedRow, String> refused) {
        if (Thread.currentThread().isInterrupted()) {
            throw LockstepException.report(ErrorCode.ABORTED, "interrupted while its prompts were tokenised")
                    .with("next", "row " + (row.index() + 1))
                    .exception();
        }
        PromptCheck.Result prompt = prompts.check(columns.promptOf(row.row()));
        if (prompt.error() != null) {
            refused.accept(row, prompt.error());
            return Optional.empty();
        }
        try {
            return Optional.of(new Request(row.index(), prompt.ids(), sampling.of(columns.samplingOf(row.row()))));
        } catch (LockstepException invalid) {
            refused.accept(row, String.valueOf(invalid.getMessage()));
            return Optional.empty();
        }
    }
}
