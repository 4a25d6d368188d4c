package org.lockstep.cli;

import java.io.BufferedWriter;
import java.io.IOException;
import java.io.OutputStreamWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SaveMode;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.spark.Llm;

/**
 * Where the answers go: one file of JSON lines, or a directory of Parquet.
 *
 * @param name as given
 */
record OutputFile(String name) {

    /**
     * Finds out before a run what would spoil its end.
     *
     * @throws LockstepException USAGE
     */
    void check() {
        if (Prompts.isParquet(name)) {
            return;
        }
        if (!Prompts.isJson(name)) {
            throw unusable("its name ends neither in .jsonl nor in .parquet");
        }
        Path file = Prompts.local(name)
                .orElseThrow(
                        () -> unusable("JSON lines are written to the driver's own file system only; take .parquet"))
                .toAbsolutePath();
        Path folder = file.getParent();
        if (folder == null || !Files.isDirectory(folder) || !Files.isWritable(folder)) {
            throw unusable(folder + " is no directory that can be written to");
        }
        if (Files.isDirectory(file)) {
            throw unusable("it is a directory");
        }
    }

    /**
     * Whether writing would take away a file of the driver's own: it is the same by another name, or lies in a directory that
     * is replaced.
     *
     * @throws LockstepException USAGE where that cannot be found out
     */
    boolean replaces(String file) {
        Optional<Path> other = Prompts.local(file);
        Optional<Path> mine = Prompts.local(name);
        if (other.isEmpty() || mine.isEmpty()) {
            return name.equals(file);
        }
        try {
            return other.get().toRealPath().startsWith(mine.get().toRealPath());
        } catch (NoSuchFileException none) {
            return false; // there is nothing yet that could be replaced
        } catch (IOException e) {
            throw unwritten(e);
        }
    }

    /**
     * Finds out before a run whether the columns of its input can be written.
     *
     * @throws LockstepException USAGE
     */
    void checkColumns(String[] columns) {
        Set<String> seen = new HashSet<>();
        Stream.concat(Arrays.stream(columns), Llm.OUTPUT_COLUMNS.stream()).forEach(column -> {
            if (!seen.add(column.toLowerCase(Locale.ROOT)) && Prompts.isParquet(name)) {
                throw unusable("Parquet does not tell column '" + column + "' from another one of " + List.of(columns)
                        + " and " + Llm.OUTPUT_COLUMNS);
            }
        });
    }

    /**
     * Writes all rows; a file that is already there is replaced when the new one is whole.
     *
     * @throws LockstepException USAGE where the file cannot be written: a full disk, a missing permission
     */
    void write(Dataset<Row> rows, Set<String> jsonColumns) {
        if (Prompts.isParquet(name)) {
            writeParquet(rows);
            return;
        }
        try {
            writeLines(rows, jsonColumns);
        } catch (IOException e) {
            throw unwritten(e);
        }
    }

    private void writeParquet(Dataset<Row> rows) {
        try {
            rows.write().mode(SaveMode.Overwrite).parquet(name);
        } catch (Exception e) { // Spark's own are checked, and undeclared
            for (Throwable cause = e; cause != null; cause = cause.getCause()) {
                if (cause instanceof IOException io) {
                    throw unwritten(io);
                }
            }
            throw e;
        }
    }

    private void writeLines(Dataset<Row> rows, Set<String> jsonColumns) throws IOException {
        Path file = Prompts.local(name).orElseThrow().toAbsolutePath();
        Path partial = file.resolveSibling(
                "." + file.getFileName() + ".partial-" + ProcessHandle.current().pid());
        try {
            JsonLinesWriter.write(
                    new BufferedWriter(new OutputStreamWriter(Files.newOutputStream(partial), StandardCharsets.UTF_8)),
                    rows,
                    jsonColumns);
            Files.move(partial, file, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(partial);
        }
    }

    private LockstepException unwritten(IOException why) {
        String reason = why instanceof AccessDeniedException denied
                ? "permission denied: " + denied.getFile()
                : why instanceof NoSuchFileException gone
                        ? "there is no " + gone.getFile()
                        : String.valueOf(why.getMessage()).lines().findFirst().orElse("");
        return LockstepException.report(ErrorCode.USAGE, "cannot write to " + name + ": " + reason)
                .attempt("another --output, or free space and permission there, and run again")
                .cause(why)
                .exception();
    }

    private LockstepException unusable(String why) {
        return LockstepException.report(ErrorCode.USAGE, "cannot write to " + name + ": " + why)
                .attempt("--output FILE.jsonl or FILE.parquet")
                .exception();
    }
}
