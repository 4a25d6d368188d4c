package org.lockstep.cli.bench.inference;

import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.lockstep.checkpoint.Checkpoint;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.checkpoint.TensorSource;
import org.lockstep.inference.Tokenizer;
import org.lockstep.model.ModelConfig;
import org.lockstep.model.ModelTensors;
import org.lockstep.model.StoredWeights;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Shape;
import org.lockstep.tensor.WeightType;

/** The model that is measured: its settings, and where its weights come from. Immutable; for all threads. */
public final class BenchModel {
    private final String name;
    private final ModelConfig config;
    private final @Nullable ModelFiles files; // null for random weights
    private final WeightType held;

    private BenchModel(String name, ModelConfig config, @Nullable ModelFiles files, WeightType held) {
        this.name = name;
        this.config = config.withWeightType(held);
        this.files = files;
        this.held = held;
    }

    /** A model of random weights; bf16 where no type is given. */
    public static BenchModel random(String name, ModelConfig config, @Nullable WeightType type) {
        return new BenchModel(name, config, null, type == null ? WeightType.BF16 : type);
    }

    /** A model in files, which stay the caller's; where no type is given, its matrices have that of the first layer's. */
    public static BenchModel stored(String name, ModelConfig config, @Nullable WeightType type, ModelFiles files) {
        try (Checkpoint checkpoint = Checkpoint.open(files)) {
            StoredWeights stored = ModelTensors.check(config, checkpoint);
            return new BenchModel(name, config, files, type == null ? stored.type() : type);
        }
    }

    public String name() {
        return name;
    }

    ModelConfig config() {
        return config;
    }

    /** How the matrices are held. */
    WeightType held() {
        return held;
    }

    /** How the matrices are held, in llama.cpp's words. */
    public String quant() {
        return held == WeightType.Q8 ? "q8_0" : held.toString();
    }

    /** The model in a line, for people. */
    public String describe() {
        Map<String, Shape> shapes = ModelTensors.shapes(config);
        long parameters = shapes.values().stream().mapToLong(Shape::elements).sum();
        return name + ": " + String.format(Locale.ROOT, "%,.1f", parameters / 1e6) + " M parameters, "
                + (files == null ? "random, " : "") + held + ", " + config.layers() + " layers, hidden "
                + config.hiddenSize();
    }

    /** What a reader makes of the weights, which are closed after it. */
    <T> T read(Function<TensorSource, T> reader) {
        if (files == null) {
            return reader.apply(RandomWeights.of(config, stored()));
        }
        try (Checkpoint checkpoint = Checkpoint.open(files)) {
            return reader.apply(checkpoint);
        }
    }

    /** Of a model in files; the caller closes it. */
    Tokenizer tokenizer() {
        return Tokenizer.load(
                Objects.requireNonNull(files, "random weights have no tokenizer"), config.vocabularySize());
    }

    private DataType stored() {
        return switch (held) {
            case F32, Q8 -> DataType.F32; // quantised while it is read
            case BF16 -> DataType.BF16;
            case F16 -> DataType.F16;
        };
    }
}
