package org.lockstep.cli.bench.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What rows are made. */
class RaggedRowsTest {
    /** An eighth of the longest, but that nothing is shorter than one, nor longer than the longest. */
    @ParameterizedTest
    @CsvSource({"UNIFORM, 128.5", "EXPONENTIAL, 32.5"})
    void outputsAreDistributedAsAsked(RaggedRows.Lengths lengths, double mean) {
        RaggedRows rows = new RaggedRows(20_000, 9, 256, lengths, 3);
        List<Integer> outputs =
                rows.rows().stream().map(RaggedRows.Row::outputTokens).toList();
        assertThat(outputs).allMatch(length -> length >= 1 && length <= 256).contains(1, 256);
        assertThat(outputs.stream().mapToInt(Integer::intValue).average().orElseThrow())
                .isCloseTo(mean, within(1.5));
        assertThat(rows.rows()).isEqualTo(rows.rows());
    }
}
