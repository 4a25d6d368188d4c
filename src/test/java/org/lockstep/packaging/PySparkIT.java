package org.lockstep.packaging;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The README's lines for PySpark, in a Python; skipped, and says why, where there is none that has a pyspark. */
@Timeout(300)
class PySparkIT {
    private static final Pattern LINES = Pattern.compile("```python\n(.*?)```", Pattern.DOTALL);
    private static final Path DIST = Path.of(System.getProperty("lockstep.dist", "target/dist"));

    @TempDir
    private Path folder;

    @Test
    void theLinesOfTheReadmeRun() throws Exception {
        Matcher lines = LINES.matcher(Files.readString(Path.of("README.md")));
        assertThat(lines.find()).isTrue();
        String generate = lines.group(1)
                .replaceFirst("Llm\\.load\\(spark\\._jsparkSession, \".*?\"\\)", "Llm.bundled(spark._jsparkSession)")
                .replace("tensorParallel(4)", "tensorParallel(2)");
        Path script = Files.writeString(folder.resolve("generate.py"), """
                from pyspark.sql import SparkSession

                spark = SparkSession.builder.master("local[4]").config("spark.jars", "%s").getOrCreate()
                questions = spark.createDataFrame([("Once upon a time",)], ["prompt"])
                %s
                print("text:", answers.collect()[0]["text"])
                spark.stop()
                """.formatted(allJar(), generate));
        assume("import pyspark");

        Process python = new ProcessBuilder("python3", script.toString())
                .redirectErrorStream(true)
                .start();
        python.getOutputStream().close();
        String output = new String(python.getInputStream().readAllBytes(), StandardCharsets.UTF_8);

        assertThat(python.waitFor()).as(output).isZero();
        assertThat(output).containsPattern("text: .*\\w");
    }

    private static void assume(String line) throws InterruptedException {
        String why;
        try {
            Process python = new ProcessBuilder("python3", "-c", line)
                    .redirectErrorStream(true)
                    .start();
            python.getOutputStream().close();
            why = new String(python.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            Assumptions.assumeTrue(python.waitFor() == 0, "python3 -c '" + line + "': " + why.strip());
        } catch (IOException e) {
            Assumptions.abort("no python3: " + e.getMessage());
        }
    }

    private static Path allJar() throws IOException {
        try (Stream<Path> files = Files.list(DIST)) {
            return files.filter(file -> file.toString().endsWith("-all.jar"))
                    .findAny()
                    .orElseThrow()
                    .toAbsolutePath();
        }
    }
}
