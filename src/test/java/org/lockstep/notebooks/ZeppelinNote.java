package org.lockstep.notebooks;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.util.DefaultIndenter;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A {@link Notebook} as a note of Zeppelin's. Its Scala is the notebook's, character by character: what Databricks has and
 * Zeppelin has not, the first paragraphs define.
 */
final class ZeppelinNote {
    /** Sets what the interpreter starts with. */
    static final String CONF = """
            %spark.conf

            # before the first paragraph runs: where the jar is, and a master with 4 slots or more
            spark.jars /opt/lockstep/lockstep-0.1.0-all.jar
            spark.master local[4]
            spark.dynamicAllocation.enabled false
            # Zeppelin knows the versions of Spark before 4.1 only
            zeppelin.spark.enableSupportedVersionCheck false
            # how often progress comes
            spark.executor.heartbeatInterval 1s""";

    /** What Databricks calls by these names. */
    static final String PRELUDE = """
            def displayHTML(html: String): Unit = println("%html " + html)
            def display(rows: org.apache.spark.sql.DataFrame): Unit = z.show(rows)
            object dbutils {
              object widgets {
                private val values = scala.collection.mutable.Map[String, String]()
                def text(name: String, default: String, label: String): Unit =
                  values(name) = String.valueOf(z.textbox(name, default))
                def get(name: String): String = values(name)
              }
            }""";

    /** Larger outputs, the charts with their library, are left to whoever runs the note. */
    private static final int LARGEST_OUTPUT = 64 << 10;

    private static final Pattern DISPLAY = Pattern.compile("(?m)^%(html|table) ");

    private static final ObjectMapper MAPPER = new ObjectMapper();

    private ZeppelinNote() {}

    /** The name of the file of a note. */
    static String fileName(Notebook notebook) {
        return notebook.name() + "_" + id(notebook) + ".zpln";
    }

    private static String id(Notebook notebook) {
        return "LOCKSTEP" + notebook.number();
    }

    /**
     * The note.
     *
     * @param outputs of the cells that are Scala, in order, as the interpreter printed them
     */
    static ObjectNode of(Notebook notebook, List<String> outputs) {
        ObjectNode note = MAPPER.createObjectNode();
        ArrayNode paragraphs = note.putArray("paragraphs");
        add(paragraphs, notebook, "text", CONF, null);
        add(paragraphs, notebook, "scala", "%spark\n" + PRELUDE, "");
        int code = 0;
        for (Notebook.Cell cell : notebook.cells()) {
            if (cell.isText()) {
                add(paragraphs, notebook, "markdown", "%md\n" + cell.content(), null);
            } else {
                add(paragraphs, notebook, "scala", "%spark\n" + cell.content(), outputs.get(code++));
            }
        }
        note.put("name", notebook.name());
        note.put("id", id(notebook));
        note.put("defaultInterpreterGroup", "spark");
        note.putObject("noteParams");
        note.putObject("noteForms");
        note.putObject("angularObjects");
        note.putObject("config").put("isZeppelinNotebookCronEnable", false);
        note.putObject("info");
        return note;
    }

    private static void add(ArrayNode paragraphs, Notebook notebook, String language, String text, String output) {
        ObjectNode paragraph = paragraphs.addObject();
        paragraph.put("text", text);
        paragraph.put("user", "anonymous");
        ObjectNode config = paragraph.putObject("config");
        boolean markdown = language.equals("markdown");
        config.put("colWidth", 12)
                .put("fontSize", 9)
                .put("enabled", true)
                .put("editorMode", "ace/mode/" + language)
                .put("editorHide", markdown);
        config.putObject("editorSetting").put("language", language).put("editOnDblClick", markdown);
        config.putObject("results");
        paragraph.putObject("settings").putObject("params");
        ((ObjectNode) paragraph.get("settings")).putObject("forms");
        if (output != null && output.length() <= LARGEST_OUTPUT) {
            ObjectNode results = paragraph.putObject("results").put("code", "SUCCESS");
            results.set("msg", messages(output));
            paragraph.put("status", "FINISHED");
        } else {
            paragraph.put("status", "READY");
        }
        paragraph.put("jobName", String.format(Locale.ROOT, "paragraph_%s_%02d", id(notebook), paragraphs.size()));
        paragraph.put("id", String.format(Locale.ROOT, "paragraph_%s_%02d", id(notebook), paragraphs.size()));
    }

    /** What was printed, parted where a line begins with the name of a display. */
    private static ArrayNode messages(String output) {
        ArrayNode messages = MAPPER.createArrayNode();
        List<Integer> starts = new ArrayList<>();
        Matcher displays = DISPLAY.matcher(output);
        while (displays.find()) {
            starts.add(displays.start());
        }
        int first = starts.isEmpty() ? output.length() : starts.get(0);
        addMessage(messages, "TEXT", output.substring(0, first));
        for (int i = 0; i < starts.size(); i++) {
            String part = output.substring(starts.get(i), i + 1 < starts.size() ? starts.get(i + 1) : output.length());
            int space = part.indexOf(' ');
            addMessage(messages, part.substring(1, space).toUpperCase(Locale.ROOT), part.substring(space + 1));
        }
        return messages;
    }

    private static void addMessage(ArrayNode messages, String type, String data) {
        if (!data.isBlank()) {
            messages.addObject().put("type", type).put("data", data);
        }
    }

    /** Scala of the note, its prelude included, in order. */
    static List<String> scala(JsonNode note) {
        List<String> all = new ArrayList<>();
        note.get("paragraphs").forEach(paragraph -> {
            String text = paragraph.get("text").asText();
            if (text.startsWith("%spark\n")) {
                all.add(text.substring("%spark\n".length()));
            }
        });
        return all;
    }

    static String print(JsonNode note) throws JsonProcessingException {
        DefaultPrettyPrinter printer = new DefaultPrettyPrinter();
        printer.indentArraysWith(DefaultIndenter.SYSTEM_LINEFEED_INSTANCE);
        return MAPPER.writer(printer).writeValueAsString(note) + "\n";
    }
}
