package org.lockstep.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.Folder;
import org.lockstep.checkpoint.ModelFiles;

class ModelConfigTest {
    private static final String GOOD = """
            {"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":64,"num_hidden_layers":4,\
            "num_attention_heads":8,"num_key_value_heads":2,"intermediate_size":176,"vocab_size":320,\
            "max_position_embeddings":256,"rms_norm_eps":1e-05,"rope_theta":10000.0,"eos_token_id":2}""";

    @TempDir
    Path temp;

    @Test
    void theBundledModel() {
        ModelConfig fable;
        try (ModelFiles files = ModelFiles.resource("/org/lockstep/models/fable")) {
            fable = ModelConfig.read(files);
        }
        assertThat(fable)
                .isEqualTo(new ModelConfig(
                        "LlamaForCausalLM",
                        128,
                        8,
                        8,
                        4,
                        16,
                        384,
                        2048,
                        512,
                        1e-5f,
                        10000,
                        RopeScaling.NONE,
                        false,
                        false,
                        true,
                        List.of(0),
                        0,
                        null));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "llama-bf16-sharded",
                "llama-f16",
                "llama-gqa-tied",
                "llama-gqa-untied",
                "llama-mha-bias-oddvocab",
                "llama-rope-linear",
                "llama3-rope-scaled"
            })
    void theSyntheticModels(String name) {
        ModelConfig config = ModelConfig.read(ModelFiles.directory(Folder.model(name)));
        assertThat(config.headSize()).isEqualTo(8);
        assertThat(config.endTokens()).containsExactly(2);
        assertThat(config.attentionBias()).isEqualTo(name.contains("bias"));
        assertThat(config.mlpBias()).isEqualTo(name.contains("bias"));
        assertThat(config.normEpsilon()).isEqualTo(name.contains("bias") ? 0.03f : 1e-5f);
        assertThat(config.tiedEmbeddings())
                .isEqualTo(List.of("llama-f16", "llama-gqa-tied").contains(name));
        assertThat(config.ropeScaling())
                .isEqualTo(
                        switch (name) {
                            case "llama-rope-linear" -> new RopeScaling.Linear(4);
                            case "llama3-rope-scaled" -> new RopeScaling.Llama3(8, 1, 4, 64);
                            default -> RopeScaling.NONE;
                        });
    }

    @Test
    void whatIsLeftOutIsAsInTransformers() throws IOException {
        ModelConfig config = read("""
                {"architectures":["LlamaForCausalLM"],"hidden_size":64,"num_hidden_layers":4,"num_attention_heads":8,
                "intermediate_size":176,"vocab_size":320,"max_position_embeddings":256,"rope_scaling":null}""");
        assertThat(config.keyValueHeads()).isEqualTo(8);
        assertThat(config.headSize()).isEqualTo(8);
        assertThat(config.normEpsilon()).isEqualTo(1e-6f);
        assertThat(config.ropeTheta()).isEqualTo(10000);
        assertThat(config.tiedEmbeddings()).isFalse();
        assertThat(config.endTokens()).isEmpty();
        assertThat(config.beginToken()).isNull();
    }

    @Test
    void theNewerFormOfRope() throws IOException {
        ModelConfig config = read(
                with("rope_theta", "null")
                        .replace(
                                "}",
                                ",\"rope_parameters\":{\"rope_theta\":500000.0,\"rope_type\":\"llama3\",\"factor\":8,"
                                        + "\"low_freq_factor\":1,\"high_freq_factor\":4,\"original_max_position_embeddings\":64}}"));
        assertThat(config.ropeTheta()).isEqualTo(500000);
        assertThat(config.ropeScaling()).isEqualTo(new RopeScaling.Llama3(8, 1, 4, 64));
        assertThat(read(with("rope_parameters", "{\"rope_type\":\"default\"}")).ropeTheta())
                .isEqualTo(10000);
        assertThat(read(with("rope_scaling", "{\"type\":\"linear\",\"factor\":2}"))
                        .ropeScaling())
                .isEqualTo(new RopeScaling.Linear(2));
    }

    @Test
    void endTokensAreOneOrMoreAndGenerationGoesFirst() throws IOException {
        assertThat(read(with("eos_token_id", "[2,5]")).endTokens()).containsExactly(2, 5);
        Files.writeString(temp.resolve("generation_config.json"), "{\"eos_token_id\":[7,8],\"bos_token_id\":1}");
        assertThat(read(GOOD).endTokens()).containsExactly(7, 8);
        assertThat(read(GOOD).beginToken()).isEqualTo(1);
        Files.writeString(temp.resolve("generation_config.json"), "{\"eos_token_id\":null}");
        assertThat(read(GOOD).endTokens()).containsExactly(2);
        Files.writeString(temp.resolve("generation_config.json"), "{\"eos_token_id\":\"2\"}");
        fails(GOOD, ErrorCode.CONFIG_INVALID, "generation_config.json: eos_token_id is '2'; expected a whole number");
    }

    @Test
    void travelsToATask() throws Exception {
        ModelConfig config = read(with("rope_scaling", "{\"type\":\"linear\",\"factor\":2}"));
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(config);
        }
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
            assertThat(in.readObject()).isEqualTo(config);
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "hidden_size|ABSENT|hidden_size is missing",
                "hidden_size|null|hidden_size is null",
                "hidden_size|0|hidden_size is 0; expected a whole number in 1..",
                "hidden_size|-64|hidden_size is -64",
                "hidden_size|\"64\"|hidden_size is '64'",
                "hidden_size|64.5|hidden_size is 64.5",
                "hidden_size|1e309|hidden_size is Infinity",
                "hidden_size|99999999999999999999|hidden_size is 1.0E20",
                "hidden_size|[64]|hidden_size is [64]",
                "hidden_size|true|hidden_size is true",
                "hidden_size|60|hidden_size is 60; expected a multiple of num_attention_heads (8), or a head_dim",
                "hidden_size|24|hidden_size is 24; expected an even multiple of num_attention_heads (8)",
                "head_dim|7|head_dim is 7; expected an even number",
                "head_dim|0|head_dim is 0",
                "num_hidden_layers|0|num_hidden_layers is 0",
                "num_attention_heads|-8|num_attention_heads is -8",
                "num_key_value_heads|3|num_key_value_heads is 3; expected a divisor of num_attention_heads (8)",
                "num_key_value_heads|16|num_key_value_heads is 16; expected a whole number in 1..8",
                "intermediate_size|2147483648|intermediate_size is 2147483648",
                "vocab_size|0|vocab_size is 0",
                "max_position_embeddings|ABSENT|max_position_embeddings is missing",
                "rms_norm_eps|1e309|rms_norm_eps is Infinity; expected a number in",
                "rms_norm_eps|-1e-5|rms_norm_eps is -1.0E-5",
                "rms_norm_eps|0|rms_norm_eps is 0",
                "rms_norm_eps|\"x\"|rms_norm_eps is 'x'",
                "rope_theta|-10000|rope_theta is -10000",
                "rope_theta|1e309|rope_theta is Infinity",
                "tie_word_embeddings|1|tie_word_embeddings is 1; expected true or false",
                "attention_bias|\"no\"|attention_bias is 'no'",
                "eos_token_id|-1|eos_token_id is -1",
                "eos_token_id|[2,null]|eos_token_id is [2, null]",
                "bos_token_id|1.5|bos_token_id is 1.5",
                "architectures|ABSENT|architectures is null; expected [LlamaForCausalLM]",
                "architectures|[]|architectures is []",
                "architectures|\"LlamaForCausalLM\"|a list of strings",
                "rope_scaling|3|rope_scaling is 3; expected an object",
                "rope_scaling|{\"type\":3}|rope_scaling.type is 3; expected a string",
                "rope_scaling|{\"type\":\"linear\"}|rope_scaling.factor is missing",
                "rope_scaling|{\"type\":\"linear\",\"factor\":0}|rope_scaling.factor is 0",
                "rope_scaling|{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":4}|high_freq_factor is 4; expected more than low_freq_factor (4.0)",
                "rope_scaling|{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4}|rope_scaling.original_max_position_embeddings is missing",
                "vocab_size|320,\"vocab_size\":320|key 'vocab_size' occurs twice",
                "x|[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[|not valid JSON",
                "x|NaN|not valid JSON",
            })
    void aWrongValueIsNamedWithItsKey(String key, String value, String said) throws IOException {
        fails(with(key, value), ErrorCode.CONFIG_INVALID, "config.json: ", said);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "architectures|[\"GPT2LMHeadModel\"]|architectures is [GPT2LMHeadModel]; supported: [LlamaForCausalLM]",
                "model_type|\"mistral\"|model_type is 'mistral'; supported: llama",
                "hidden_act|\"gelu\"|hidden_act is 'gelu'; supported: silu",
                "quantization_config|{\"quant_method\":\"awq\",\"bits\":4}|quantization_config is {quant_method=awq, bits=4}",
                "rope_scaling|{\"rope_type\":\"yarn\",\"factor\":4}|rope_scaling.rope_type is 'yarn'; supported: default, linear, llama3",
                "partial_rotary_factor|0.5|partial_rotary_factor is 0.5; supported: 1",
            })
    void whatLockstepLacksIsNamedWithWhatItHas(String key, String value, String said) throws IOException {
        fails(with(key, value), ErrorCode.MODEL_UNSUPPORTED, said);
    }

    @Test
    void twoRopesThatDifferAreRefused() throws IOException {
        String both = with(
                "rope_scaling", "{\"type\":\"linear\",\"factor\":2},\"rope_parameters\":{\"rope_type\":\"default\"}");
        fails(
                both,
                ErrorCode.CONFIG_INVALID,
                "rope_parameters is {rope_type=default}; expected the same as rope_scaling");
    }

    @Test
    void damageAtRandomIsAnErrorOrAModel() throws IOException {
        byte[] good = with("rope_scaling", "{\"type\":\"linear\",\"factor\":2}").getBytes(StandardCharsets.UTF_8);
        Random random = new Random(11);
        for (int round = 0; round < 3000; round++) {
            byte[] bad = good.clone();
            for (int i = random.nextInt(3); i >= 0; i--) {
                bad[random.nextInt(bad.length)] =
                        (byte) (random.nextBoolean() ? random.nextInt() : "09-.e[{\",".charAt(random.nextInt(9)));
            }
            Files.write(temp.resolve("config.json"), bad);
            try {
                ModelConfig.read(ModelFiles.directory(temp)).checkSplit(2, 2);
            } catch (LockstepException e) {
                assertThat(e.code()).isIn(ErrorCode.CONFIG_INVALID, ErrorCode.MODEL_UNSUPPORTED, ErrorCode.MODEL_SHAPE);
            }
        }
    }

    @ParameterizedTest
    @CsvSource({
        "3, 1, num_attention_heads (8) is not divisible by tensor (3), 2 or 4",
        "16, 1, num_attention_heads (8) is not divisible by tensor (16), set tensor parallel to 8",
        "0, 1, tensor (0) is not positive, set tensor parallel to 1",
        "1, 5, pipeline (5) is more stages than the model has layers (4), set pipeline parallel to 4 or less",
        "1, 0, pipeline (0) is not positive, set pipeline parallel to 1"
    })
    void aSplitThatDoesNotGoIsToldWithOneThatDoes(int tensor, int pipeline, String said, String hint)
            throws IOException {
        ModelConfig config = read(GOOD);
        assertThatThrownBy(() -> config.checkSplit(tensor, pipeline))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.MODEL_SHAPE))
                .hasMessageContaining(said)
                .hasMessageContaining(hint);
    }

    @Test
    void keyValueHeadsAreDividedOrReplicated() throws IOException {
        ModelConfig config = read(GOOD);
        for (int tensor : new int[] {1, 2, 4, 8}) {
            assertThatCode(() -> config.checkSplit(tensor, 3)).doesNotThrowAnyException();
        }
        ModelConfig six = read(GOOD.replace(
                        "\"num_attention_heads\":8,\"num_key_value_heads\":2",
                        "\"num_attention_heads\":12,\"num_key_value_heads\":6,\"head_dim\":8")
                .replace("176", "96"));
        assertThatThrownBy(() -> six.checkSplit(4, 1))
                .hasMessageContaining("num_key_value_heads (6) neither divides nor is divisible by tensor (4)")
                .hasMessageContaining("3 or 6");
    }

    @Test
    void theInnerLayerMustDivide() throws IOException {
        ModelConfig config = read(GOOD.replace("176", "172"));
        assertThatThrownBy(() -> config.checkSplit(8, 1))
                .hasMessageContaining("intermediate_size (172) is not divisible by tensor (8)")
                .hasMessageContaining("set tensor parallel to 4");
    }

    private ModelConfig read(String json) throws IOException {
        Files.writeString(temp.resolve("config.json"), json);
        return ModelConfig.read(ModelFiles.directory(temp));
    }

    private void fails(String json, ErrorCode code, String... said) {
        assertThatThrownBy(() -> read(json))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(code))
                .hasMessageContainingAll(said);
    }

    /** The good settings with one more, or another value of one; ABSENT takes it away. */
    private static String with(String key, String value) {
        String others =
                GOOD.replaceAll(",?\"" + key + "\":(\\[[^]]*]|[^,}]*)", "").replace("{,", "{");
        return value.equals("ABSENT")
                ? others
                : others.substring(0, others.length() - 1) + ",\"" + key + "\":" + value + "}";
    }
}
