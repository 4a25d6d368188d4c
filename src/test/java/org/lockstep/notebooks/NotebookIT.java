package org.lockstep.notebooks;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.networknt.schema.JsonSchemaFactory;
import com.networknt.schema.SpecVersion;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.spark.launcher.JavaModuleOptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Every cell of every notebook runs as it stands, one after the other, in Scala's interpreter; and its Zeppelin note is the
 * same notebook, with the outputs of such a run. {@code -Dlockstep.notebooks.write=true} writes the notes anew.
 */
@Timeout(300)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class NotebookIT {
    /** What the cells of a notebook print, among other things. */
    private static final Map<String, List<String>> PRINTED = Map.of(
            "01_groups",
            List.of(
                    "4 ranks = tensor 2 × pipeline 2 × data 1",
                    "class=\"replica\"",
                    "16 ranks = tensor 4 × pipeline 2 × data 2",
                    "tensor rank 1 of 4",
                    "rank 3: 1 of 2 in its tensor group"),
            "02_collectives",
            List.of(
                    "rank 0: 1.0\nrank 1: 1.0\nrank 2: 5.0\nrank 3: 5.0",
                    "of 36.0",
                    "4194304 bytes",
                    "\"title\":\"Time of a call\"",
                    "COLLECTIVE_MISMATCH",
                    "max"),
            "03_generate",
            List.of(
                    "tensor 2 × pipeline 1 × data 2",
                    "%table id\tprompt\ttext",
                    "LOCKSTEP-6001 PROMPT_NULL",
                    "48 rows (0 with errors)",
                    "stayed loaded",
                    "starting 2 replicas for 48 rows",
                    "48 of 48 rows, ",
                    "%table id\tstory\toutput_tokens\n1\tOnce upon a time",
                    "<h2>Waiting</h2>",
                    "16 rows at once"),
            "04_cluster",
            List.of(
                    "8 × pipeline 64",
                    "rank 1 failed: java.lang.IllegalStateException: this rank's disk is full",
                    "culprit : rank 1  host ",
                    "Once upon a time",
                    "starting 1 replica for 64 rows",
                    "LOCKSTEP-2008 CANCELLED",
                    " of 64 rows, in ",
                    " rows were kept, ",
                    " from before)"));

    @TempDir
    private static Path folder;

    /** All of them in one process, one after the other. */
    @BeforeAll
    @Timeout(600)
    void run() throws IOException, InterruptedException {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(
                Arrays.asList(JavaModuleOptions.defaultModuleOptions().trim().split("\\s+")));
        command.addAll(List.of(
                "-Xmx2g",
                "-Dfile.encoding=UTF-8",
                "-Dspark.master=local[4]",
                "-Dspark.ui.enabled=false",
                "-Dspark.driver.host=127.0.0.1",
                "-Dspark.executor.heartbeatInterval=1s",
                "-cp",
                System.getProperty("java.class.path"),
                NotebookRepl.class.getName()));
        for (Path file : Notebook.all()) {
            Notebook notebook = Notebook.read(file);
            Path place = Files.createDirectory(folder.resolve(notebook.name()));
            new ObjectMapper().writeValue(place.resolve("cells.json").toFile(), cells(notebook));
            command.add(place.toString());
        }
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String log = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor()).as(log).isZero();
    }

    static Stream<Path> notebooks() throws IOException {
        return Notebook.all().stream();
    }

    @ParameterizedTest
    @MethodSource("notebooks")
    void everyCellRuns(Path file) throws Exception {
        Notebook notebook = Notebook.read(file);
        List<String> outputs = outputs(notebook);
        assertThat(String.join("\n", outputs)).contains(PRINTED.get(notebook.name()));

        Path note = file.resolveSibling(ZeppelinNote.fileName(notebook));
        JsonNode made = ZeppelinNote.of(notebook, outputs);
        if (Boolean.getBoolean("lockstep.notebooks.write")) {
            Files.writeString(note, ZeppelinNote.print(made));
        }
        JsonNode kept = new ObjectMapper().readTree(note.toFile());
        assertThat(validate(kept)).isEmpty();
        assertThat(texts(kept)).as("written by -Dlockstep.notebooks.write=true").isEqualTo(texts(made));
        assertThat(statuses(kept)).isEqualTo(statuses(made));
        assertThat(types(kept)).as("what kinds of output a cell has").isEqualTo(types(made));
        assertThat(String.join("\n", kept.findValuesAsText("data")))
                .as("outputs in the note, but those that are too large for it")
                .contains(PRINTED.get(notebook.name()).stream()
                        .filter(each ->
                                String.join("\n", made.findValuesAsText("data")).contains(each))
                        .toList());
    }

    /** Those in Scala, after the prelude. */
    private static List<String> cells(Notebook notebook) {
        List<String> cells = new ArrayList<>(List.of(ZeppelinNote.PRELUDE));
        notebook.cells().stream()
                .filter(cell -> !cell.isText())
                .map(Notebook.Cell::content)
                .forEach(cells::add);
        return cells;
    }

    /** The outputs of the notebook's Scala cells, those of the prelude left out. */
    private List<String> outputs(Notebook notebook) throws IOException {
        Path file = folder.resolve(notebook.name()).resolve("outputs.json");
        List<String> outputs = Arrays.asList(new ObjectMapper().readValue(file.toFile(), String[].class));
        assertThat(outputs).hasSameSizeAs(cells(notebook));
        return outputs.subList(1, outputs.size());
    }

    private static List<String> validate(JsonNode note) throws IOException {
        try (InputStream schema = NotebookIT.class.getResourceAsStream("zpln.schema.json")) {
            return JsonSchemaFactory.getInstance(SpecVersion.VersionFlag.V202012)
                    .getSchema(schema)
                    .validate(note)
                    .stream()
                    .map(Object::toString)
                    .toList();
        }
    }

    private static List<String> texts(JsonNode note) {
        return note.get("paragraphs").findValuesAsText("text");
    }

    private static List<String> types(JsonNode note) {
        return note.get("paragraphs").findValuesAsText("type");
    }

    private static List<String> statuses(JsonNode note) {
        return note.get("paragraphs").findValuesAsText("status");
    }
}
