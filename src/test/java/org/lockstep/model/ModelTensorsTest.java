package org.lockstep.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.Checkpoint;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.tensor.Shape;
import org.lockstep.tensor.WeightType;

class ModelTensorsTest {
    @TempDir
    private Path folder;

    private StoredWeights check(SyntheticModel model) {
        try (ModelFiles files = model.write(folder);
                Checkpoint checkpoint = Checkpoint.open(files)) {
            return ModelTensors.check(model.config(), checkpoint);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "model.layers.1.self_attn.q_norm.weight, 6", // of Qwen 3
        "model.layers.0.pre_feedforward_layernorm.weight, 24", // of Gemma 2
        "model.layers.2.input_layernorm.weight, 24", // of a layer more
        "lm_head.bias, 37",
    })
    void aWeightThatWouldBeLeftOutIsRefused(String name, int length) {
        assertThatThrownBy(() -> check(SyntheticModel.awkward().with(name, Shape.of(length))))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.CHECKPOINT_INVALID))
                .hasMessageContainingAll("'" + name + "'", "left out", "config.json");
    }

    @Test
    void whatHasNoPartInTheTextMayBeThere() {
        check(SyntheticModel.awkward().with("v_head.summary.weight", Shape.of(1, 24))); // of TRL's rewards
    }

    @Test
    void tablesThatAreComputedAndASecondOfTwoTiedOnesMayBeThere() {
        assertThat(check(SyntheticModel.awkward()
                                .with("model.layers.0.self_attn.rotary_emb.inv_freq", Shape.of(3))
                                .tied())
                        .type())
                .isEqualTo(WeightType.F32);
    }
}
