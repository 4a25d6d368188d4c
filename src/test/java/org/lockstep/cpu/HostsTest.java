package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

/** How a group is cut into hosts of any size. */
class HostsTest {
    @Test
    void columnsGoThroughAllHosts() {
        Hosts hosts = Hosts.of(new int[] {0, 0, 0, 3, 3, 5, 5, 5, 5}, 7);
        assertThat(hosts.ranks()).containsExactly(List.of(0, 1, 2), List.of(3, 4), List.of(5, 6, 7, 8));
        assertThat(hosts.home()).isEqualTo(2);
        assertThat(hosts.place()).isEqualTo(2);
        assertThat(hosts.columns()).isEqualTo(2);
        assertThat(hosts.column(1)).containsExactly(1, 4, 6);
        assertThat(hosts.isInColumn()).isFalse();
        assertThat(hosts.near()).containsExactly(5, 6, 7, 8);
        assertThat(hosts.carried(0, 2)).containsExactly(5, 7);
        assertThat(hosts.carried(1, 0)).containsExactly(1);
        assertThat(hosts.hostOf(4)).isEqualTo(1);
    }

    @Test
    void hostsOfEqualNumbersAreCutAlike() {
        int[] hosts = {0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8};
        assertCut(Hosts.of(hosts, 6), List.of(4, 5, 6, 7), List.of(2, 6, 10), 2);
        assertCut(Hosts.of(hosts, 0), List.of(0, 1, 2, 3), List.of(0, 4, 8), 0);
    }

    private static void assertCut(Hosts hosts, List<Integer> near, List<Integer> across, int place) {
        assertThat(hosts.isSpread() && hosts.isCutAlike()).isTrue();
        assertThat(hosts.near()).isEqualTo(near);
        assertThat(hosts.column(hosts.place())).isEqualTo(across);
        assertThat(hosts.place()).isEqualTo(place);
    }

    @Test
    void othersAreNotCutAlike() {
        assertThat(isLayered(0, 0, 0, 0)).as("one host").isFalse();
        assertThat(isLayered(0, 1, 2, 3)).as("one rank a host").isFalse();
        assertThat(isLayered(0, 0, 0, 3, 3, 3)).as("sums that are no subtrees").isFalse();
        assertThat(isLayered(0, 0, 2)).as("another number").isFalse();
        assertThat(isLayered(0, 0, 2, 2, 4)).as("another number at the end").isFalse();
        assertThat(isLayered(0, 0, 2, 2, 0, 0)).as("a host in two runs").isFalse();
        assertThat(isLayered(0, 1, 0, 1)).as("dealt round-robin").isFalse();
    }

    private static boolean isLayered(int... hosts) {
        Hosts byHost = Hosts.of(hosts, 1);
        return byHost.isSpread() && byHost.isCutAlike();
    }
}
