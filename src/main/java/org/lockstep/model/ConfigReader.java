package org.lockstep.model;

import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.checkpoint.Settings;

/**
 * Reads {@link ModelConfig} and believes nothing: every size has a range in which the arithmetic that follows cannot
 * overflow.
 */
final class ConfigReader {
    private static final String ARCHITECTURE = "LlamaForCausalLM";
    private static final String GENERATION = "generation_config.json";

    private final Settings config;

    private ConfigReader(Settings config) {
        this.config = config;
    }

    static ModelConfig read(ModelFiles files) {
        Settings config = Settings.read(files, "config.json");
        Settings generation = files.exists(GENERATION) ? Settings.read(files, GENERATION) : config;
        return new ConfigReader(config).model(generation);
    }

    private ModelConfig model(Settings generation) {
        checkSupported();
        int hidden = config.integer("hidden_size", 1, 1 << 20);
        int heads = config.integer("num_attention_heads", 1, 1 << 14);
        int keyValueHeads = config.integer("num_key_value_heads", 1, heads, heads);
        if (heads % keyValueHeads != 0) {
            throw config.wrong("num_key_value_heads", "a divisor of num_attention_heads (" + heads + ")");
        }
        double theta = ropeTheta();
        return new ModelConfig(
                ARCHITECTURE,
                hidden,
                config.integer("num_hidden_layers", 1, 1 << 14),
                heads,
                keyValueHeads,
                headSize(hidden, heads),
                config.integer("intermediate_size", 1, 1 << 24),
                config.integer("vocab_size", 1, 1 << 26),
                config.integer("max_position_embeddings", 1, 1 << 30),
                (float) config.number("rms_norm_eps", Float.MIN_NORMAL, 1, 1e-6),
                theta,
                ropeScaling(),
                config.flag("attention_bias", false),
                config.flag("mlp_bias", false),
                config.flag("tie_word_embeddings", false),
                endTokens(generation),
                beginToken(generation),
                null);
    }

    private void checkSupported() {
        List<String> architectures = config.texts("architectures");
        if (architectures.isEmpty()) {
            throw config.wrong("architectures", "[" + ARCHITECTURE + "]");
        }
        if (!architectures.equals(List.of(ARCHITECTURE))) {
            throw config.unsupported("architectures", "[" + ARCHITECTURE + "]");
        }
        if (!config.text("model_type", "llama").equals("llama")) {
            throw config.unsupported("model_type", "llama");
        }
        if (!config.text("hidden_act", "silu").equals("silu")) {
            throw config.unsupported("hidden_act", "silu");
        }
        for (String key : List.of("quantization_config", "compression_config")) {
            if (config.has(key)) {
                throw config.unsupported(key, "weights in f32, bf16 or f16, not quantized");
            }
        }
    }

    private int headSize(int hidden, int heads) {
        if (!config.has("head_dim") && hidden % heads != 0) {
            throw config.wrong("hidden_size", "a multiple of num_attention_heads (" + heads + "), or a head_dim");
        }
        int size = config.integer("head_dim", 2, 1 << 14, hidden / heads);
        if (size % 2 != 0) {
            throw config.has("head_dim")
                    ? config.wrong("head_dim", "an even number: rotary positions turn pairs")
                    : config.wrong(
                            "hidden_size",
                            "an even multiple of num_attention_heads (" + heads + "): rotary positions turn pairs, a"
                                    + " head has " + size);
        }
        return size;
    }

    /** The older rope_scaling or the newer rope_parameters; null if neither is there. */
    private @Nullable Settings rope() {
        Settings older = config.child("rope_scaling");
        Settings newer = config.child("rope_parameters");
        if (older != null && newer != null) {
            Object one = config.raw("rope_scaling");
            if (one == null || !one.equals(config.raw("rope_parameters"))) {
                throw config.wrong("rope_parameters", "the same as rope_scaling, or only one of the two");
            }
        }
        return older != null ? older : newer;
    }

    private double ropeTheta() {
        Settings rope = rope();
        Settings holder = rope != null && rope.has("rope_theta") ? rope : config;
        return holder.number("rope_theta", 1, 1e30, 10000);
    }

    private RopeScaling ropeScaling() {
        if (config.number("partial_rotary_factor", 0, 1, 1) != 1) {
            throw config.unsupported("partial_rotary_factor", "1");
        }
        Settings rope = rope();
        if (rope == null) {
            return RopeScaling.NONE;
        }
        if (rope.number("partial_rotary_factor", 0, 1, 1) != 1) {
            throw rope.unsupported("partial_rotary_factor", "1");
        }
        String key = rope.has("rope_type") ? "rope_type" : "type";
        return switch (rope.text(key, "default")) {
            case "default" -> RopeScaling.NONE;
            case "linear" -> new RopeScaling.Linear(rope.number("factor", 1, 1e6));
            case "llama3" -> llama3(rope);
            default -> throw rope.unsupported(key, "default, linear, llama3");
        };
    }

    private static RopeScaling llama3(Settings rope) {
        double low = rope.number("low_freq_factor", 1e-6, 1e6);
        double high = rope.number("high_freq_factor", 1e-6, 1e6);
        if (high <= low) {
            throw rope.wrong("high_freq_factor", "more than low_freq_factor (" + low + ")");
        }
        return new RopeScaling.Llama3(
                rope.number("factor", 1, 1e6), low, high, rope.integer("original_max_position_embeddings", 1, 1 << 30));
    }

    private List<Integer> endTokens(Settings generation) {
        Settings holder = generation.has("eos_token_id") ? generation : config;
        return holder.integers("eos_token_id", 0, Integer.MAX_VALUE);
    }

    private @Nullable Integer beginToken(Settings generation) {
        Settings holder = generation.has("bos_token_id") ? generation : config;
        return holder.has("bos_token_id") ? (Integer) holder.integer("bos_token_id", 0, Integer.MAX_VALUE) : null;
    }
}
