package org.lockstep.spark.rows;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.jspecify.annotations.Nullable;
import org.lockstep.commit.CommittedRow;

/** What became of rows, put beside them. */
public final class Answers {
    private Answers() {}

    /** By row id, what is committed of these rows, which stand in order. */
    public static Map<Long, CommittedRow> kept(KeptResults kept, List<IndexedRow> home) {
        Map<Long, CommittedRow> answers = new HashMap<>();
        if (!home.isEmpty()) {
            kept.rows(home.get(0).index(), home.get(home.size() - 1).index() + 1)
                    .forEach(row -> answers.put(row.id(), row));
        }
        return answers;
    }

    /** The rows' own columns, then the five of {@link AnswerSchema#COLUMNS}. */
    public static List<Row> beside(List<IndexedRow> home, Map<Long, CommittedRow> answers) {
        return home.stream().map(row -> beside(row, answers.get(row.index()))).toList();
    }

    private static Row beside(IndexedRow row, @Nullable CommittedRow answer) {
        if (answer == null) {
            throw new IllegalStateException("row " + row.index() + " has no answer");
        }
        Row input = row.row();
        int width = input.size();
        Object[] values = new Object[width + AnswerSchema.COLUMNS.size()];
        for (int i = 0; i < width; i++) {
            values[i] = input.get(i);
        }
        boolean completed = answer.error() == null;
        values[width] = answer.text();
        values[width + 1] = answer.finishReason();
        values[width + 2] = completed ? answer.promptTokens() : null;
        values[width + 3] = completed ? answer.outputTokens() : null;
        values[width + 4] = answer.error();
        return RowFactory.create(values);
    }
}
