package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.lockstep.LockstepException;

/** A model's directory, here and where it travels to. */
class ModelSourceTest {
    @Test
    void aRelativeDirectoryTravelsInFullAndKeepsItsName() {
        ModelSource source = ModelSource.directory("src/main");
        assertThat(source.folder())
                .contains(Path.of("src/main").toAbsolutePath().toString());
        assertThat(source).hasToString("src/main");
        assertThat(ModelSource.FABLE.folder()).isEmpty();
        assertThat(ModelSource.FABLE).hasToString("fable (bundled)");
    }

    @Test
    void oneThatIsNotThereIsToldByItsName() {
        assertThatThrownBy(() -> ModelSource.directory("meta-llama/Llama").open())
                .isInstanceOf(LockstepException.class)
                .hasMessageContainingAll(
                        "the model folder meta-llama/Llama does not exist", "hf download meta-llama/Llama");
    }
}
