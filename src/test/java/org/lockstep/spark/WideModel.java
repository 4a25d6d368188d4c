package org.lockstep.spark;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;

/** The bundled model with wider layers, all of whose weights are zero: files that take no room on a disk but do in a heap. */
final class WideModel {
    private static final Path BUNDLED = Path.of("target", "classes", "org", "lockstep", "models", "fable");
    private static final ObjectMapper JSON = new ObjectMapper();

    private WideModel() {}

    /** Writes it; {@code width} of the layers between. */
    static void write(Path folder, int width) throws IOException {
        Files.createDirectories(folder);
        for (String name : new String[] {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
            Files.copy(BUNDLED.resolve(name), folder.resolve(name));
        }
        ObjectNode config =
                (ObjectNode) JSON.readTree(BUNDLED.resolve("config.json").toFile());
        int before = config.get("intermediate_size").intValue();
        config.put("intermediate_size", width);
        JSON.writeValue(folder.resolve("config.json").toFile(), config);

        ObjectNode tensors = JSON.createObjectNode();
        long end = 0;
        JsonNode header = header();
        for (Iterator<String> each = header.fieldNames(); each.hasNext(); ) {
            String name = each.next();
            if (name.startsWith("__")) {
                continue;
            }
            long bytes = 2; // of an element: all are bf16
            ObjectNode written = tensors.putObject(name).put("dtype", "BF16");
            var shape = written.putArray("shape");
            for (JsonNode dimension : header.get(name).get("shape")) {
                int wide = dimension.intValue() == before ? width : dimension.intValue();
                shape.add(wide);
                bytes *= wide;
            }
            written.putArray("data_offsets").add(end).add(end + bytes);
            end += bytes;
        }
        byte[] text = JSON.writeValueAsString(tensors).getBytes(StandardCharsets.UTF_8);
        try (RandomAccessFile file =
                new RandomAccessFile(folder.resolve("model.safetensors").toFile(), "rw")) {
            file.write(ByteBuffer.allocate(8)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(text.length)
                    .array());
            file.write(text);
            file.setLength(8 + text.length + end);
        }
    }

    private static JsonNode header() throws IOException {
        ByteBuffer file = ByteBuffer.wrap(Files.readAllBytes(BUNDLED.resolve("model.safetensors")))
                .order(ByteOrder.LITTLE_ENDIAN);
        return JSON.readTree(new String(file.array(), 8, (int) file.getLong(0), StandardCharsets.UTF_8));
    }
}
