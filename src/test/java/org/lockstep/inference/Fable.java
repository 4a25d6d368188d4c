package org.lockstep.inference;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.model.ModelConfig;

/** The bundled model and its golden answers. */
final class Fable {
    static final int VOCABULARY = 2048;
    static final int END = 0;

    /** A prompt and its next 64 greedy tokens, which do not stop at the end token. */
    @SuppressWarnings("ArrayRecordComponent") // test data
    record Golden(String id, String prompt, int[] promptIds, int[] greedyIds, String greedyText) {}

    private Fable() {}

    static ModelFiles files() {
        return ModelFiles.resource("/org/lockstep/models/fable");
    }

    static ModelConfig config() {
        try (ModelFiles files = files()) {
            return ModelConfig.read(files);
        }
    }

    static Tokenizer tokenizer() {
        try (ModelFiles files = files()) {
            return Tokenizer.load(files, VOCABULARY);
        }
    }

    static List<Golden> golden() {
        List<Golden> all = new ArrayList<>();
        for (JsonNode each : json("/org/lockstep/models/fable/golden.json").get("cases")) {
            all.add(new Golden(
                    each.get("id").asText(),
                    each.get("prompt").asText(),
                    ints(each.get("prompt_ids")),
                    ints(each.get("greedy_ids")),
                    each.get("greedy_text").asText()));
        }
        return all;
    }

    /** The oracle's folder: {@code -Dlockstep.oracle}, else shared/oracle in a folder above the checkout; may be missing. */
    static Path oracle() {
        String named = System.getProperty("lockstep.oracle");
        if (named != null) {
            return Path.of(named);
        }
        return Stream.iterate(Path.of("").toAbsolutePath(), Objects::nonNull, Path::getParent)
                .map(at -> at.resolve("shared").resolve("oracle"))
                .filter(Files::isDirectory)
                .findFirst()
                .orElse(Path.of("shared", "oracle"));
    }

    static JsonNode json(String resource) {
        try (InputStream in = Fable.class.getResourceAsStream(resource)) {
            return new ObjectMapper().readTree(in);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static int[] ints(JsonNode array) {
        return StreamSupport.stream(array.spliterator(), false)
                .mapToInt(JsonNode::asInt)
                .toArray();
    }
}
