package org.lockstep.notebooks;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.spark.sql.SparkSession;
import scala.Console$;
import scala.tools.nsc.Settings;
import scala.tools.nsc.interpreter.IMain;
import scala.tools.nsc.interpreter.Results;
import scala.tools.nsc.interpreter.shell.ReplReporterImpl;
import scala.tools.nsc.interpreter.shell.ShellConfig$;

/**
 * Runs the cells of notebooks in Scala's interpreter as spark-shell sets it up: a class a line, which the executors load
 * from the driver; each notebook with an interpreter and a session of its own. A process of its own, for the interpreter prints to
 * the process's output; one for all, for its compiler is slow until it is warm.
 *
 * <p>Arguments: folders, each with the cells of a notebook in {@code cells.json}, an array of strings. Beside them comes
 * {@code outputs.json}, an array too. A cell that fails ends it all, with what it printed as an exception.
 */
final class NotebookRepl {
    /** What Zeppelin brings: the table that it draws, and a field of a form, which nobody fills. */
    private static final String Z = """
            object z {
              def show(rows: org.apache.spark.sql.DataFrame): Unit = {
                def line(words: Seq[Any]) = words.map(String.valueOf(_).replaceAll("[\\\\t\\\\n]", " ")).mkString("\\t")
                println("%table " + line(rows.columns.toSeq))
                rows.collect().foreach(row => println(line(row.toSeq)))
              }
              def textbox(name: String, default: Any): Any = default
            }""";

    private NotebookRepl() {}

    public static void main(String[] args) throws IOException {
        PrintStream before = System.out;
        try {
            for (String folder : args) {
                run(Path.of(folder));
            }
        } finally {
            System.setOut(before);
        }
    }

    private static void run(Path folder) throws IOException {
        ObjectMapper mapper = new ObjectMapper();
        String[] cells = mapper.readValue(folder.resolve("cells.json").toFile(), String[].class);
        Path classes = Files.createDirectories(folder.resolve("classes"));
        List<String> outputs = new ArrayList<>();

        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        PrintStream out = new PrintStream(printed, true, StandardCharsets.UTF_8);
        System.setOut(out);

        Settings settings = new Settings();
        settings.processArgumentString("-usejavacp -Yrepl-class-based -Yrepl-outdir " + classes);
        PrintWriter writer = new PrintWriter(out, true, StandardCharsets.UTF_8);
        IMain repl = new IMain(settings, new ReplReporterImpl(ShellConfig$.MODULE$.apply(settings), settings, writer));
        repl.setContextClassLoader();
        try (SparkSession spark = SparkSession.builder()
                .appName("notebook")
                .config("spark.repl.class.outputDir", classes.toString())
                .getOrCreate()) {
            require(repl.bind("spark", "org.apache.spark.sql.SparkSession", spark, list("@transient")), printed);
            require(repl.interpret(Z), printed);
            for (String cell : cells) {
                printed.reset();
                Results.Result result = Console$.MODULE$.withOut(out, () -> repl.interpret(cell));
                out.flush();
                require(result, printed);
                outputs.add(printed.toString(StandardCharsets.UTF_8));
            }
        }
        mapper.writeValue(folder.resolve("outputs.json").toFile(), outputs);
    }

    private static scala.collection.immutable.List<String> list(String only) {
        return scala.collection.immutable.List$.MODULE$.<String>empty().$colon$colon(only);
    }

    private static void require(Results.Result result, ByteArrayOutputStream printed) {
        if (result != Results.Success$.MODULE$) {
            throw new IllegalStateException(printed.toString(StandardCharsets.UTF_8));
        }
    }
}
