package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class AdmissionTest {
    private static final Duration NOW = Duration.ZERO;

    /** Looks until the operation under way is over its deadline. */
    private static Optional<Duration> awaitOverdue(Admission admission) {
        Optional<Duration> found = admission.overdue(true, NOW);
        while (found.isEmpty()) {
            Thread.onSpinWait();
            found = admission.overdue(true, NOW);
        }
        return found;
    }

    @Test
    void anOperationIsOverdueByItsOwnDeadline() {
        Admission admission = new Admission();
        admission.begin(Duration.ofMillis(20));
        assertThat(awaitOverdue(admission)).hasValue(Duration.ofMillis(20));
        admission.begin(Duration.ofDays(1));
        assertThat(admission.overdue(true, NOW))
                .as("another one, that has just begun")
                .isEmpty();
        admission.begin(Duration.ofNanos(1));
        assertThat(admission.overdue(true, NOW)).as("seen for the first time").isEmpty();
        assertThat(awaitOverdue(admission)).hasValue(Duration.ofNanos(1));
    }

    @Test
    void anOperationThatTurnsOutToMoveMoreIsOverdueLater() {
        Admission admission = new Admission();
        admission.begin(Duration.ofNanos(1));
        admission.extend(Duration.ofMillis(20));
        assertThat(awaitOverdue(admission)).hasValue(Duration.ofMillis(20).plusNanos(1));
        admission.begin(Duration.ofNanos(1));
        admission.overdue(true, NOW);
        assertThat(awaitOverdue(admission)).as("the next one").hasValue(Duration.ofNanos(1));
    }

    @Test
    void nobodyInsideIsNeverOverdue() {
        Admission admission = new Admission();
        admission.begin(Duration.ZERO);
        assertThat(admission.overdue(false, NOW)).isEmpty();
        assertThat(admission.overdue(false, NOW)).isEmpty();
    }
}
