package org.lockstep.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.stream.StreamSupport;
import org.lockstep.checkpoint.ModelFiles;

/** What a model of the oracle must answer, read without our own reader of such files. */
record Golden(ModelFiles model, JsonNode answers, byte[] tensors) {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** One of the synthetic models among the test resources. */
    static Golden synthetic(String name) {
        try {
            return new Golden(
                    ModelFiles.resource("/org/lockstep/oracle/models/" + name),
                    JSON.readTree(resource("/org/lockstep/oracle/golden/" + name + ".json")),
                    resource("/org/lockstep/oracle/golden/" + name + ".safetensors"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** A model of the oracle's folder. */
    static Golden external(Path oracle, String name) throws IOException {
        return new Golden(
                ModelFiles.directory(oracle.resolve("models").resolve(name)),
                JSON.readTree(Files.readAllBytes(oracle.resolve("golden").resolve(name + ".json"))),
                Files.readAllBytes(oracle.resolve("golden").resolve(name + ".safetensors")));
    }

    static byte[] resource(String path) throws IOException {
        try (InputStream in = Objects.requireNonNull(Golden.class.getResourceAsStream(path), path)) {
            return in.readAllBytes();
        }
    }

    static JsonNode json(String path) {
        try {
            return JSON.readTree(resource(path));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static int[] ints(JsonNode array) {
        return StreamSupport.stream(array.spliterator(), false)
                .mapToInt(JsonNode::intValue)
                .toArray();
    }

    int[][] prompts() {
        return column("ids");
    }

    int[][] greedy() {
        return column("greedy");
    }

    private int[][] column(String key) {
        return StreamSupport.stream(answers.get("prompts").spliterator(), false)
                .map(prompt -> ints(prompt.get(key)))
                .toArray(int[][]::new);
    }

    /** A tensor of f32, flat. */
    float[] floats(String name) {
        ByteBuffer file = ByteBuffer.wrap(tensors).order(ByteOrder.LITTLE_ENDIAN);
        int header = (int) file.getLong(0);
        try {
            JsonNode range = JSON.readTree(new String(tensors, 8, header, StandardCharsets.UTF_8))
                    .get(name)
                    .get("data_offsets");
            int from = range.get(0).intValue();
            float[] values = new float[(range.get(1).intValue() - from) / 4];
            file.position(8 + header + from);
            file.slice().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values);
            return values;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
