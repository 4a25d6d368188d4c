package org.lockstep.cli;

import java.io.PrintWriter;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;

/** Answers as people like to read them: prompt and completion in one, wrapped, with a line of facts above. */
final class Stories {
    private static final int WIDTH = 92;
    private static final String INDENT = "  ";

    private Stories() {}

    static void print(PrintWriter out, Dataset<Row> rows, String promptColumn) {
        int number = 0;
        for (var each = rows.toLocalIterator(); each.hasNext(); ) {
            Row row = each.next();
            number++;
            String text = row.getAs("text");
            String error = row.getAs("error");
            out.println();
            if (error != null || text == null) {
                out.println("row " + number + ": " + error);
            } else {
                out.println(number + "  (" + row.<Object>getAs("prompt_tokens") + " + "
                        + row.<Object>getAs("output_tokens") + " tokens, " + row.<Object>getAs("finish_reason") + ")");
                String prompt = row.getAs(promptColumn);
                out.println(wrapped(prompt + text));
            }
            out.flush();
        }
    }

    /** The text's own lines, each broken between words. */
    static String wrapped(String text) {
        StringBuilder wrapped = new StringBuilder();
        for (String paragraph : text.strip().split("\\R", -1)) {
            StringBuilder line = new StringBuilder();
            for (String word : paragraph.strip().split("\\s+", -1)) {
                if (!line.isEmpty() && line.length() + 1 + word.length() > WIDTH) {
                    wrapped.append(INDENT).append(line).append(System.lineSeparator());
                    line.setLength(0);
                }
                line.append(line.isEmpty() ? "" : " ").append(word);
            }
            wrapped.append(line.isEmpty() ? "" : INDENT).append(line).append(System.lineSeparator());
        }
        return wrapped.toString().stripTrailing();
    }
}
