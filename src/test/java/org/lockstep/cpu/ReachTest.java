package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

/** Which groups are cut into hosts. */
class ReachTest {
    @Test
    void hostsOfEqualNumbersAreCut() {
        int[] hosts = {0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8};
        assertThat(Reach.of(hosts, 6)).contains(new Reach(List.of(4, 5, 6, 7), List.of(2, 6, 10), 2));
        assertThat(Reach.of(hosts, 0)).contains(new Reach(List.of(0, 1, 2, 3), List.of(0, 4, 8), 0));
    }

    @Test
    void othersAreNot() {
        assertThat(Reach.of(new int[] {0, 0, 0, 0}, 1)).as("one host").isEmpty();
        assertThat(Reach.of(new int[] {0, 1, 2, 3}, 1)).as("one rank a host").isEmpty();
        assertThat(Reach.of(new int[] {0, 0, 0, 3, 3, 3}, 1))
                .as("sums that are no subtrees")
                .isEmpty();
        assertThat(Reach.of(new int[] {0, 0, 2}, 1)).as("another number").isEmpty();
        assertThat(Reach.of(new int[] {0, 0, 2, 2, 4}, 1))
                .as("another number at the end")
                .isEmpty();
        assertThat(Reach.of(new int[] {0, 0, 2, 2, 0, 0}, 1))
                .as("a host in two runs")
                .isEmpty();
        assertThat(Reach.of(new int[] {0, 1, 0, 1}, 1)).as("dealt round-robin").isEmpty();
    }
}
