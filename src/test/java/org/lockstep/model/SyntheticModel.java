package org.lockstep.model;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Collectors;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.tensor.Shape;

/**
 * A Llama of random f32 weights written to a folder, with whatever is wrong with it that a test wants.
 *
 * @param config what the files are written for
 * @param shapes of the tensors by name
 */
record SyntheticModel(ModelConfig config, Map<String, Shape> shapes) {
    /** Two layers with everything that does not divide: a vocabulary of 37, biases everywhere, heads wider than hidden. */
    static SyntheticModel awkward() {
        ModelConfig config = new ModelConfig(
                "LlamaForCausalLM",
                24,
                2,
                8,
                2,
                6,
                40,
                37,
                64,
                1e-5f,
                10000,
                RopeScaling.NONE,
                true,
                true,
                false,
                List.of(),
                null,
                null);
        return of(config);
    }

    /** All that a model's settings promise. */
    static SyntheticModel of(ModelConfig config) {
        return new SyntheticModel(config, ModelTensors.shapes(config));
    }

    /** This model with one tensor in another shape. */
    SyntheticModel with(String name, Shape shape) {
        Map<String, Shape> more = new LinkedHashMap<>(shapes);
        more.put(name, shape);
        return new SyntheticModel(config, more);
    }

    SyntheticModel without(String name) {
        Map<String, Shape> fewer = new LinkedHashMap<>(shapes);
        fewer.remove(name);
        return new SyntheticModel(config, fewer);
    }

    SyntheticModel tied() {
        return new SyntheticModel(config(config.layers(), true), shapes);
    }

    /** This model with more layers of the same kind. */
    SyntheticModel withLayers(int count) {
        return of(config(count, config.tiedEmbeddings()));
    }

    private ModelConfig config(int layers, boolean tied) {
        return new ModelConfig(
                config.architecture(),
                config.hiddenSize(),
                layers,
                config.heads(),
                config.keyValueHeads(),
                config.headSize(),
                config.intermediateSize(),
                config.vocabularySize(),
                config.maxPositions(),
                config.normEpsilon(),
                config.ropeTheta(),
                config.ropeScaling(),
                config.attentionBias(),
                config.mlpBias(),
                tied,
                config.endTokens(),
                config.beginToken(),
                null);
    }

    /** Writes the weights; a tensor's depend on its name only, but the head's are the embedding's where they are tied. */
    ModelFiles write(Path folder) {
        return write(folder, "no tensor");
    }

    /** The same, but the first element of a tensor is no number. */
    ModelFiles write(Path folder, String broken) {
        StringBuilder header = new StringBuilder("{");
        long bytes = 0;
        for (Map.Entry<String, Shape> tensor : shapes.entrySet()) {
            Shape shape = tensor.getValue();
            long end = bytes + 4 * shape.elements();
            header.append(header.length() == 1 ? "" : ",")
                    .append("\"%s\":{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[%d,%d]}"
                            .formatted(tensor.getKey(), shape, bytes, end));
            bytes = end;
        }
        byte[] json = header.append("}").toString().getBytes(StandardCharsets.UTF_8);
        ByteBuffer file = ByteBuffer.allocate((int) (8 + json.length + bytes)).order(ByteOrder.LITTLE_ENDIAN);
        file.putLong(json.length).put(json);
        shapes.forEach((name, shape) -> {
            String seed = config.tiedEmbeddings() && name.equals("lm_head.weight") ? "model.embed_tokens.weight" : name;
            Random random = new Random(seed.hashCode());
            for (long i = 0; i < shape.elements(); i++) {
                float element = (float) random.nextGaussian() * 0.3f;
                file.putFloat(i == 0 && name.equals(broken) ? Float.NaN : element);
            }
        });
        try {
            Files.writeString(folder.resolve("config.json"), "{}");
            Files.write(folder.resolve("model.safetensors"), file.array());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return ModelFiles.directory(folder);
    }

    long bytes(String namePart) {
        return shapes.entrySet().stream()
                .filter(tensor -> tensor.getKey().contains(namePart))
                .collect(Collectors.summingLong(tensor -> 4 * tensor.getValue().elements()));
    }
}
