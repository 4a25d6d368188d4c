package org.lockstep.cli;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.functions;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.spark.Llm;

/**
 * The rows of a file of prompts.
 *
 * @param rows in the order of the file, with all its columns
 * @param jsonColumns those that hold JSON text, to be written back as it is
 */
record Prompts(Dataset<Row> rows, Set<String> jsonColumns) {
    private static final String BUNDLED = Llm.BUNDLED + "/prompts.jsonl";
    private static final String FORMATS = "--prompts FILE: text, .jsonl or .parquet";
    private static final int HANDFUL = 8;
    private static final long READ_TWICE = 64L << 20;
    private static final Set<String> TABLES = Set.of("csv", "tsv", "orc", "avro", "xlsx");
    private static final Set<String> PACKED = Set.of("gz", "bz2", "xz", "zst", "lz4", "snappy", "zip");
    /** Those that Spark unpacks, by their names, as it reads them. */
    private static final Set<String> UNPACKED_BY_SPARK = Set.of("gz", "bz2", "zst", "lz4", "snappy");

    private static final Pattern SCHEME = Pattern.compile("[A-Za-z][A-Za-z0-9+.-]+:/.*");

    /**
     * Reads a file by its name's ending, or bundled prompts where there is none: a handful for the screen, else all.
     *
     * @param handful whether few are enough
     * @throws LockstepException USAGE naming the file, and the line where there is one
     */
    static Prompts read(SparkSession spark, @Nullable String file, String column, boolean handful) {
        if (file != null && isParquet(file)) {
            return new Prompts(parquet(spark, file), Set.of());
        }
        JsonTable table;
        if (file == null) {
            table = bundled(handful ? HANDFUL : Long.MAX_VALUE);
        } else {
            Optional<Path> local = local(file);
            table = local.isPresent() ? table(file, local.get(), column) : remote(spark, file, column);
        }
        return new Prompts(spark.createDataFrame(table.rows(), table.schema()), table.jsonColumns());
    }

    /**
     * Whether a file of this machine is there and can be read, as far as that is known at once.
     *
     * @throws LockstepException USAGE naming the file
     */
    static void check(String file, Path local) {
        String wrong = "";
        if (Files.isDirectory(local) && !isParquet(file)) {
            wrong = file + " is a directory: prompts are one file, but for those in Parquet";
        } else if (!Files.isReadable(local)) {
            wrong = "there is no file " + file + " that can be read";
        }
        if (!wrong.isEmpty()) {
            throw LockstepException.report(ErrorCode.USAGE, wrong)
                    .attempt(FORMATS)
                    .exception();
        }
    }

    /**
     * Reads a file once for its errors alone, so that they need not wait for Spark.
     *
     * @return its columns; empty where only Spark can read it, whose name alone is looked at then, where it can be read but
     *     once, or where it is so large that reading it twice would take longer than Spark's start
     * @throws LockstepException as {@link #read}
     */
    static Optional<StructType> schema(@Nullable String file, String column) {
        if (file == null) {
            return Optional.of(bundled(1).schema());
        }
        if (isParquet(file)) {
            return Optional.empty();
        }
        Optional<Path> local = local(file);
        if (local.isEmpty()) {
            requireLines(file, unpacked(file));
            return Optional.empty();
        }
        try {
            return Files.isRegularFile(local.get()) && Files.size(local.get()) <= READ_TWICE
                    ? Optional.of(table(file, local.get(), column).schema())
                    : Optional.empty();
        } catch (IOException e) {
            throw unreadable(file, e);
        }
    }

    private static JsonTable bundled(long most) {
        try (BufferedReader lines = bundled()) {
            return JsonTable.read(
                    "the bundled prompts", lines.lines().limit(most).iterator(), "prompt");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static JsonTable table(String file, Path local, String column) {
        requireLines(file, file);
        try (Stream<String> lines = Files.lines(local, StandardCharsets.ISO_8859_1)) { // a character a byte
            return table(
                    file,
                    isJson(file),
                    lines.map(line -> line.getBytes(StandardCharsets.ISO_8859_1))
                            .iterator(),
                    column);
        } catch (IOException e) {
            throw unreadable(file, e);
        } catch (UncheckedIOException e) {
            throw unreadable(file, Objects.requireNonNull(e.getCause()));
        }
    }

    private static JsonTable remote(SparkSession spark, String file, String column) {
        String unpacked = unpacked(file);
        requireLines(file, unpacked);
        return table(file, isJson(unpacked), lines(spark, file).iterator(), column);
    }

    private static JsonTable table(String file, boolean json, Iterator<byte[]> lines, String column) {
        Iterator<String> texts = new Utf8Lines(file, lines);
        if (json) {
            return JsonTable.read(file, texts, column);
        }
        List<Row> rows = new ArrayList<>();
        texts.forEachRemaining(line -> rows.add(RowFactory.create(line))); // an empty one too: it has its error
        return new JsonTable(new StructType().add(column, DataTypes.StringType), rows, Set.of());
    }

    /** What the file would be called whose lines Spark hands over. */
    private static String unpacked(String file) {
        return UNPACKED_BY_SPARK.contains(ending(file)) ? file.substring(0, file.lastIndexOf('.')) : file;
    }

    private static String ending(String name) {
        int dot = name.lastIndexOf('.');
        return dot < 0 ? "" : name.substring(dot + 1).toLowerCase(Locale.ROOT); // else zip alone would end in itself
    }

    /**
     * The lines of a table, or of a packed file, would be prompts too, head, separators and all.
     *
     * @param name of what the lines are in
     */
    private static void requireLines(String file, String name) {
        String ending = ending(name);
        if (TABLES.contains(ending)) {
            throw otherKind(
                    file,
                    ending,
                    "write it as Parquet with Spark, spark.read()…write().parquet(FILE), or give it the ending"
                            + " .txt if each line is a prompt");
        }
        if (PACKED.contains(ending)) {
            throw otherKind(
                    file,
                    ending,
                    "unpack it first, or write it as Parquet with Spark, which reads some packed files itself");
        }
    }

    private static LockstepException otherKind(String file, String ending, String advice) {
        return LockstepException.report(
                        ErrorCode.USAGE,
                        "cannot read the prompts in " + file + ": a " + ending
                                + " is none of text, JSON lines and Parquet")
                .attempt(advice)
                .exception();
    }

    private static Dataset<Row> parquet(SparkSession spark, String file) {
        try {
            return spark.read().parquet(file);
        } catch (Exception e) { // an AnalysisException, which Scala does not declare
            throw unreadable(file, e);
        }
    }

    private static List<byte[]> lines(SparkSession spark, String file) {
        try {
            Dataset<Row> lines = spark.read()
                    .text(file)
                    .select(functions.col("value").cast(DataTypes.BinaryType)); // a string would hide what is not UTF-8
            return lines.collectAsList().stream()
                    .map(row -> row.<byte[]>getAs(0))
                    .toList();
        } catch (Exception e) { // an AnalysisException, which Scala does not declare
            throw unreadable(file, e);
        }
    }

    private static BufferedReader bundled() {
        InputStream resource = Objects.requireNonNull(Prompts.class.getResourceAsStream(BUNDLED), BUNDLED);
        return new BufferedReader(new InputStreamReader(resource, StandardCharsets.UTF_8));
    }

    static boolean isParquet(String file) {
        return file.toLowerCase(Locale.ROOT).endsWith(".parquet");
    }

    static boolean isJson(String file) {
        String name = file.toLowerCase(Locale.ROOT);
        return name.endsWith(".jsonl") || name.endsWith(".ndjson") || name.endsWith(".json");
    }

    /**
     * The path on this machine; empty for a file of another file system.
     *
     * @throws LockstepException USAGE for a URI that is none
     */
    static Optional<Path> local(String file) {
        if (file.startsWith("file:")) {
            return Optional.of(ofUri(file));
        }
        return SCHEME.matcher(file).matches() ? Optional.empty() : Optional.of(Path.of(file));
    }

    private static Path ofUri(String file) {
        try {
            String path = URI.create(file).getPath();
            if (path != null) {
                return Path.of(path);
            }
        } catch (IllegalArgumentException e) {
            throw noFile(file, e);
        }
        throw noFile(file, null);
    }

    private static LockstepException noFile(String uri, @Nullable Exception why) {
        return LockstepException.report(ErrorCode.USAGE, uri + " names no file")
                .attempt("the path alone, or file:///folder/name with %20 for a space")
                .cause(why)
                .exception();
    }

    private static LockstepException unreadable(String file, Exception why) {
        String reason = String.valueOf(why.getMessage()).lines().findFirst().orElse("");
        return LockstepException.report(ErrorCode.USAGE, "cannot read the prompts in " + file + ": " + reason)
                .attempt(FORMATS)
                .cause(why)
                .exception();
    }
}
