package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class ReleaseTest {
    @Test
    void allIsGivenBackAndTheFirstFailureThrownWithTheOthersInIt() {
        List<String> given = new ArrayList<>();
        Runnable first = () -> {
            throw new IllegalStateException("the first");
        };
        Runnable second = () -> {
            throw new IllegalArgumentException("the second");
        };
        assertThatThrownBy(() -> Release.all(List.of(() -> given.add("a"), first, second, () -> given.add("b"))))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("the first")
                .satisfies(failure -> assertThat(failure.getSuppressed())
                        .singleElement()
                        .asString()
                        .contains("the second"));
        assertThat(given).containsExactly("a", "b");
        Release.all(List.of());
    }

    @Test
    void anErrorDoesNotKeepWhatComesAfterIt() {
        List<String> given = new ArrayList<>();
        NoClassDefFoundError error = new NoClassDefFoundError("the first");
        Runnable first = () -> {
            throw error;
        };
        assertThatThrownBy(() -> Release.all(List.of(first, () -> given.add("a"))))
                .isSameAs(error);
        assertThat(given).containsExactly("a");
    }
}
