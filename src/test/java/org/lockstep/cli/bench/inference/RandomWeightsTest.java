package org.lockstep.cli.bench.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Map;
import org.junit.jupiter.api.Test;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.model.ModelConfig;
import org.lockstep.model.ModelTensors;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Shape;

class RandomWeightsTest {
    private static final String MATRIX = "model.layers.1.mlp.down_proj.weight";

    private final ModelConfig config = ModelConfig.read(ModelFiles.resource("/org/lockstep/models/fable"));
    private final RandomWeights weights = RandomWeights.of(config, DataType.F32);

    @Test
    void itHasWhatTheModelAsksFor() {
        ModelTensors.check(config, weights);
        Map<String, Shape> shapes = ModelTensors.shapes(config);
        assertThat(weights.size()).isEqualTo(shapes.size());
        shapes.forEach((name, shape) ->
                assertThat(weights.readRows(name, 0, shape.dim(0)).length()).isEqualTo(shape.elements()));
    }

    @Test
    void aSliceIsThatOfTheWhole() {
        HostBuffer whole = weights.readRows(MATRIX, 0, 128);
        HostBuffer rows = weights.readRows(MATRIX, 7, 3);
        HostBuffer block = weights.readBlock(MATRIX, 7, 3, 100, 5);
        for (int row = 0; row < 3; row++) {
            for (int column = 0; column < 384; column++) {
                double there = whole.get((7 + row) * 384 + column);
                assertThat(rows.get(row * 384 + column)).isEqualTo(there);
                if (column >= 100 && column < 105) {
                    assertThat(block.get(row * 5 + column - 100)).isEqualTo(there);
                }
            }
        }
    }

    @Test
    void theSameNumbersComeEveryTimeInEveryType() {
        float[] once = weights.readRows(MATRIX, 0, 128).toFloats();
        assertThat(RandomWeights.of(config, DataType.F32)
                        .readRows(MATRIX, 0, 128)
                        .toFloats())
                .isEqualTo(once);
        for (DataType type : new DataType[] {DataType.BF16, DataType.F16}) {
            HostBuffer narrow = RandomWeights.of(config, type).readRows(MATRIX, 0, 128);
            assertThat(narrow.type()).isEqualTo(type);
            assertThat(narrow.toFloats())
                    .isEqualTo(HostBuffer.of(DataType.F32, once).to(type).toFloats());
        }
        assertThat(weights.readRows("model.layers.2.mlp.down_proj.weight", 0, 128)
                        .toFloats())
                .isNotEqualTo(once);
    }

    @Test
    void theyAreSpreadAsModelsAreInitialised() {
        float[] all = weights.readRows(MATRIX, 0, 128).toFloats();
        double sum = 0;
        double squares = 0;
        for (float each : all) {
            assertThat(Math.abs(each)).isLessThan(0.0347f);
            sum += each;
            squares += each * each;
        }
        assertThat(sum / all.length).isBetween(-0.0005, 0.0005);
        assertThat(Math.sqrt(squares / all.length)).isBetween(0.0195, 0.0205);
        assertThat(weights.readRows("model.norm.weight", 0, 128).toFloats()).containsOnly(1f);
    }

    @Test
    void whatTheModelHasNotIsRefused() {
        assertThatThrownBy(() -> weights.expect(MATRIX, Shape.of(384, 128)))
                .isInstanceOf(LockstepException.class)
                .hasMessageContaining(ErrorCode.CHECKPOINT_INVALID.label())
                .hasMessageContaining("[128, 384]");
        assertThatThrownBy(() -> weights.readRows(MATRIX, 120, 9)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> weights.readBlock(MATRIX, 0, 1, 380, 5)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> RandomWeights.of(config, DataType.I8)).isInstanceOf(IllegalArgumentException.class);
    }
}
