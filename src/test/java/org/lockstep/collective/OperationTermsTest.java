package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.lockstep.topology.GroupKind;

class OperationTermsTest {
    private static final OperationTerms TERMS = OperationTerms.DEFAULT
            .withTimeout(Duration.ofSeconds(1))
            .withMinimumRate(1_000)
            .withTimeouts(Map.of(GroupKind.TENSOR, Duration.ofSeconds(3)));

    @Test
    void bytesHaveTheTimeThatTheyTakeAtTheMinimumRate() {
        assertThat(TERMS.allowed(0)).isEqualTo(Duration.ofSeconds(1));
        assertThat(TERMS.allowed(1)).isEqualTo(Duration.ofMillis(1_001));
        assertThat(TERMS.allowed(500)).isEqualTo(Duration.ofMillis(1_500));
        assertThat(TERMS.allowed(10_000)).isEqualTo(Duration.ofSeconds(11));
        assertThat(TERMS.withMinimumRate(1).allowed(Long.MAX_VALUE)).isEqualTo(Duration.ofDays(36_500));
    }

    @Test
    void bytesThatComeInAdditionHaveTheirs() {
        assertThat(TERMS.more(0)).isZero();
        assertThat(TERMS.more(500)).isEqualTo(Duration.ofMillis(500));
        assertThat(TERMS.withMinimumRate(1).more(Long.MAX_VALUE)).isEqualTo(Duration.ofDays(36_500));
        assertThat(TERMS.exactly(Duration.ofMillis(7)).more(1_000_000)).isZero();
    }

    @Test
    void aDeadlineOfOnesOwnIsExact() {
        assertThat(TERMS.exactly(Duration.ofMillis(7)).allowed(1_000_000)).isEqualTo(Duration.ofMillis(7));
        assertThat(TERMS.exactly(Duration.ofMillis(7)).of(GroupKind.TENSOR).timeout())
                .isEqualTo(Duration.ofMillis(7));
    }

    @Test
    void aKindMayHaveItsOwn() {
        assertThat(TERMS.of(GroupKind.TENSOR).timeout()).isEqualTo(Duration.ofSeconds(3));
        assertThat(TERMS.of(GroupKind.TENSOR).allowed(2_000)).isEqualTo(Duration.ofSeconds(5));
        assertThat(TERMS.of(GroupKind.WORLD)).isEqualTo(TERMS);
    }

    @Test
    void noTimeAndNoRateAreRefused() {
        assertThatThrownBy(() -> TERMS.withTimeout(Duration.ZERO))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("deadline (PT0S) must be positive");
        assertThatThrownBy(() -> TERMS.withTimeouts(Map.of(GroupKind.DATA, Duration.ofSeconds(-1))))
                .hasMessage("deadline (PT-1S) must be positive");
        assertThatThrownBy(() -> TERMS.withMinimumRate(0)).hasMessage("minimum rate (0 B/s) must be positive");
    }
}
