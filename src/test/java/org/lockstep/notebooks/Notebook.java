package org.lockstep.notebooks;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * A notebook as Databricks exports and imports it: Scala source whose cells are parted by {@code // COMMAND ----------}, and
 * whose text is in comments that begin with {@code // MAGIC}.
 *
 * @param name of its file, without the ending
 */
record Notebook(String name, List<Cell> cells) {
    private static final String HEAD = "// Databricks notebook source\n";
    private static final String PART = "\n// COMMAND ----------\n";
    private static final String MAGIC = "// MAGIC ";
    private static final String TEXT = "%md\n";

    /**
     * A cell.
     *
     * @param isText Markdown, not Scala
     * @param content without the comment signs
     */
    record Cell(boolean isText, String content) {}

    static List<Path> all() throws IOException {
        try (Stream<Path> files = Files.list(Path.of("notebooks"))) {
            return files.filter(file -> file.toString().endsWith(".scala"))
                    .sorted()
                    .toList();
        }
    }

    static Notebook read(Path file) throws IOException {
        String source = Files.readString(file);
        if (!source.startsWith(HEAD)) {
            throw new IllegalArgumentException(file + " does not begin with " + HEAD.strip());
        }
        List<Cell> cells = Stream.of(source.substring(HEAD.length()).split(PART))
                .map(text -> cell(text.strip()))
                .toList();
        String name = file.getFileName().toString();
        return new Notebook(name.substring(0, name.length() - ".scala".length()), cells);
    }

    private static Cell cell(String text) {
        if (!text.startsWith(MAGIC.strip())) {
            return new Cell(false, text);
        }
        String content = text.lines()
                .map(line -> line.substring(Math.min(line.length(), MAGIC.length())))
                .collect(Collectors.joining("\n"));
        if (!content.startsWith(TEXT)) {
            throw new IllegalArgumentException("a cell of text begins with %md: " + content);
        }
        return new Cell(true, content.substring(TEXT.length()));
    }

    /** The number that its name begins with. */
    int number() {
        return Integer.parseInt(name.substring(0, name.indexOf('_')));
    }

    /** Its first heading. */
    String title() {
        return cells.stream()
                .filter(Cell::isText)
                .flatMap(cell -> cell.content().lines())
                .filter(line -> line.startsWith("# "))
                .findFirst()
                .orElseThrow()
                .substring(2);
    }
}
