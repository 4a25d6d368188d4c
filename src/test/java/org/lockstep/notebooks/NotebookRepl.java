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
 * Runs the cells of a notebook in Scala's interpreter as spark-shell sets it up: a class a line, which the executors load
 * from the driver. A process of its own: the interpreter prints to the process's output.
 *
 * <p>Arguments: a file with the cells as a JSON array of strings, a folder for the interpreter's classes, the file for the
 * outputs, a JSON array too. Ends with 1 at the first cell that fails, whose output is then the last.
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
        ObjectMapper mapper = new ObjectMapper();
        String[] cells = mapper.readValue(Path.of(args[0]).toFile(), String[].class);
        Path classes = Files.createDirectories(Path.of(args[1]));
        List<String> outputs = new ArrayList<>();
        boolean failed = false;

        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        PrintStream out = new PrintStream(printed, true, StandardCharsets.UTF_8);
        PrintStream before = System.out;
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
                outputs.add(printed.toString(StandardCharsets.UTF_8));
                if (result != Results.Success$.MODULE$) {
                    failed = true;
                    break;
                }
            }
        } finally {
            System.setOut(before);
            mapper.writeValue(Path.of(args[2]).toFile(), outputs);
        }
        if (failed) {
            System.exit(1);
        }
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
