package org.lockstep.topology;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class ProcessGroupTest {
    private static final ProcessGroup GROUP = ProcessGroup.of("pp", 1, 1, 5, 9, 13);

    @Test
    void knowsItsMembers() {
        assertThat(GROUP.ranks()).containsExactly(1, 5, 9, 13);
        assertThat(GROUP.size()).isEqualTo(4);
        assertThat(GROUP.rank(2)).isEqualTo(9);
        assertThat(GROUP.rankInGroup(9)).isEqualTo(2);
        assertThat(GROUP.contains(9)).isTrue();
        assertThat(GROUP.contains(8)).isFalse();
        assertThat(GROUP.first()).isEqualTo(1);
        assertThat(GROUP.last()).isEqualTo(13);
        assertThat(GROUP.next(13)).isEqualTo(1);
        assertThat(GROUP.previous(1)).isEqualTo(13);
    }

    @Test
    void refusesStrangers() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> GROUP.rankInGroup(2))
                .withMessage("rank 2 is not in pp[1]={1,5,9,13}");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> GROUP.rank(4))
                .withMessage("rank in group 4 is not in 0..3 of pp[1]={1,5,9,13}");
    }

    @Test
    void isAValue() {
        int[] ranks = {1, 5, 9, 13};
        ProcessGroup group = ProcessGroup.of("pp", 1, ranks);
        ranks[0] = 0;
        assertThat(group).isEqualTo(GROUP).hasSameHashCodeAs(GROUP);
        assertThat(group).isNotEqualTo(ProcessGroup.of("pp", 0, 1, 5, 9, 13));
        assertThat(group).isNotEqualTo(ProcessGroup.of("tp", 1, 1, 5, 9, 13));
        assertThatThrownBy(() -> group.ranks().set(0, 7)).isInstanceOf(UnsupportedOperationException.class);
    }

    @Test
    void refusesRanksThatAreNoGroup() {
        assertThatIllegalArgumentException().isThrownBy(() -> ProcessGroup.of("tp", 0, 1, 1));
        assertThatIllegalArgumentException().isThrownBy(() -> ProcessGroup.of("tp", 0, 2, 1));
        assertThatIllegalArgumentException().isThrownBy(() -> ProcessGroup.of("tp", 0, -1, 1));
        assertThatIllegalArgumentException().isThrownBy(() -> ProcessGroup.of("tp", -1, 1));
        assertThatIllegalArgumentException().isThrownBy(() -> ProcessGroup.of("tp", 0));
    }

    @Test
    void showsTheEndsOfALongGroup() {
        ProcessGroup world =
                ProcessGroup.of("world", 0, IntStream.range(0, 100_000).toArray());
        assertThat(world).hasToString("world[0]={0,1,2,3,4,5,6,7,…,99999} (100000 ranks)");
    }
}
