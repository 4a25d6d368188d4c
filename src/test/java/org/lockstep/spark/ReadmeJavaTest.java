package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.tools.JavaCompiler;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The Java of the README compiles as it stands, its imports with it; only what it is given is declared here. */
class ReadmeJavaTest {
    private static final Pattern JAVA = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL);

    private static final String CLASS = """
            import java.util.List;
            import org.apache.spark.api.java.JavaRDD;
            import org.apache.spark.sql.*;
            %s
            class Lines {
                void run(SparkSession spark, Dataset<Row> questions, JavaRDD<Integer> rows) {
                    %s
                }
            }
            """;

    @TempDir
    private Path folder;

    static Stream<String> blocks() throws IOException {
        Matcher blocks = JAVA.matcher(Files.readString(Path.of("README.md")));
        List<String> lines = blocks.results().map(block -> block.group(1)).toList();
        assertThat(lines).isNotEmpty();
        return lines.stream();
    }

    @ParameterizedTest
    @MethodSource("blocks")
    void compiles(String block) throws IOException {
        Path source = Files.writeString(
                folder.resolve("Lines.java"),
                CLASS.formatted(
                        lines(block, true).collect(Collectors.joining("\n")),
                        lines(block, false).collect(Collectors.joining("\n"))));
        JavaCompiler compiler = Objects.requireNonNull(ToolProvider.getSystemJavaCompiler(), "a JDK");
        StringWriter said = new StringWriter();
        try (StandardJavaFileManager files = compiler.getStandardFileManager(null, null, null)) {
            boolean compiled = compiler.getTask(
                            said,
                            files,
                            null,
                            List.of(
                                    "-proc:none",
                                    "-d",
                                    folder.toString(),
                                    "-cp",
                                    System.getProperty("java.class.path")),
                            null,
                            files.getJavaFileObjects(source))
                    .call();
            assertThat(compiled).as(said.toString()).isTrue();
        }
    }

    private static Stream<String> lines(String block, boolean imports) {
        return block.lines().filter(line -> line.startsWith("import ") == imports);
    }
}
