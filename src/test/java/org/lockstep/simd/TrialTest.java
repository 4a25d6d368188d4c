package org.lockstep.simd;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** When vectors take over from plain Java: after they won several times in a row, whatever came between that says nothing. */
class TrialTest {
    private final Trial trial = new Trial();

    private void win() {
        trial.measured(16, 100, 16, 200);
    }

    private void lose() {
        trial.measured(16, 200, 16, 100);
    }

    @Test
    void aRowOfWins() {
        for (int i = 0; i < 3; i++) {
            win();
            assertThat(trial.over).as("after %d", i + 1).isFalse();
        }
        win();
        assertThat(trial.over).isTrue();
    }

    @Test
    void aLossEndsTheRow() {
        for (int i = 0; i < 3; i++) {
            win();
        }
        lose();
        for (int i = 0; i < 3; i++) {
            win();
        }
        assertThat(trial.over).isFalse();
    }

    @Test
    void tooLittleToCompareByIsNeitherWinNorLoss() {
        for (int i = 0; i < 4; i++) {
            assertThat(trial.over).isFalse();
            win();
            trial.measured(0, 0, 4, 100);
            trial.measured(4, 1000, 4, 100);
            trial.measured(32, 1000, 0, 0);
            trial.measured(32, 1000, 7, 100);
        }
        assertThat(trial.over).isTrue();
    }

    @Test
    void callsThatCannotBeCutAreComparedByTheirLength() {
        trial.measured(false, 32, 3200);
        for (int i = 0; i < 4; i++) {
            assertThat(trial.over).isFalse();
            trial.measured(true, 16, 800);
        }
        assertThat(trial.over).isTrue();
    }

    @Test
    void trialsTakeHalfOfTheTimeAndALittleMore() {
        assertThat(trial.dose(100)).isEqualTo(32);
        assertThat(trial.dose(10)).isEqualTo(5);
        trial.measured(32, 11_000_000, 68, 500_000);
        assertThat(trial.dose(100)).as("ahead of its part").isZero();
        trial.measured(0, 0, 100, 1_000_000);
        assertThat(trial.dose(100)).as("plain Java has worked since").isEqualTo(32);
    }
}
