package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class ReduceOpTest {
    @Test
    void itsNamesAreThoseOfErrors() {
        assertThat(ReduceOp.SUM).hasToString("sum");
        assertThat(ReduceOp.premultipliedSum(0.25)).hasToString("premultiplied_sum(0.25)");
        assertThat(ReduceOp.premultipliedSum(0.25)).isEqualTo(ReduceOp.premultipliedSum(0.25));
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "PREMULTIPLIED_SUM")
    void onlyOneKindHasAFactor(ReduceOp.Kind kind) {
        assertThatThrownBy(() -> new ReduceOp(kind, 2))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage(kind + " has no factor (2.0)");
        assertThatThrownBy(() -> new ReduceOp(kind, Double.NaN)).hasMessageContaining("NaN");
        assertThat(new ReduceOp(kind, 1).needsFloating()).isEqualTo(kind == ReduceOp.Kind.AVG);
        assertThat(ReduceOp.premultipliedSum(1).needsFloating()).isTrue();
    }
}
