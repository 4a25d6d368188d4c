package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Every cell of the notebooks compiles and runs as it stands, one after the other. */
@Timeout(300)
class NotebookIT {
    @TempDir
    private Path folder;

    @Test
    void firstStory() throws Exception {
        assertThat(run(Path.of("notebooks/01_first_story.scala"), "local[4]"))
                .contains(
                        "4 ranks = tensor 2 × pipeline 2 × data 1",
                        "pipeline stage 1",
                        "LOCKSTEP-6001 PROMPT_NULL",
                        "rank 0: 1.0\nrank 1: 1.0\nrank 2: 5.0\nrank 3: 5.0");
    }

    /** A notebook's cells see a session called spark, and what the cells before them defined. */
    private String run(Path notebook, String master) throws IOException, InterruptedException {
        String program = """
                object Notebook {
                  def main(args: Array[String]): Unit = {
                    val spark = org.apache.spark.sql.SparkSession.builder().appName("notebook").getOrCreate()
                %s
                    spark.stop()
                  }
                }
                """.formatted(Files.readString(notebook));
        Path source = Files.writeString(folder.resolve("Notebook.scala"), program);
        String classPath = System.getProperty("java.class.path");
        java(
                List.of("scala.tools.nsc.Main", "-classpath", classPath, "-d", folder.toString(), source.toString()),
                classPath);
        return java(
                List.of(
                        "-Dspark.master=" + master,
                        "-Dspark.ui.enabled=false",
                        "-Dspark.driver.host=127.0.0.1",
                        "Notebook"),
                folder + ":" + classPath);
    }

    private static String java(List<String> words, String classPath) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(SparkJvm.options());
        command.addAll(List.of("-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-cp", classPath));
        command.addAll(words);
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor()).as(output).isZero();
        return output;
    }
}
