package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

class BlockManagerTest {
    @Test
    void givesWholeBlocks() {
        BlockManager blocks = new BlockManager(4, 16);
        assertThat(blocks.blocksFor(1)).isEqualTo(1);
        assertThat(blocks.blocksFor(16)).isEqualTo(1);
        assertThat(blocks.blocksFor(17)).isEqualTo(2);
        assertThat(blocks.canAllocate(64)).isTrue();
        assertThat(blocks.canAllocate(65)).isFalse();
        assertThat(blocks.allocate(33)).hasSize(3);
        assertThat(blocks.available()).isEqualTo(1);
        assertThat(blocks.canAllocate(17)).isFalse();
    }

    @Test
    void refusesMoreThanThereIsAndBlocksThatAreFree() {
        BlockManager blocks = new BlockManager(2, 4);
        int[] taken = blocks.allocate(5);
        assertThatThrownBy(() -> blocks.allocate(1)).hasMessageContaining("1 tokens need 1 blocks, 0 are free");
        blocks.free(taken);
        assertThatThrownBy(() -> blocks.free(taken))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("is free");
        assertThatThrownBy(() -> new BlockManager(0, 4)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void noBlockHasTwoOwnersAndNoneIsLost() {
        Random random = new Random(3);
        BlockManager blocks = new BlockManager(50, 8);
        List<int[]> owners = new ArrayList<>();
        for (int i = 0; i < 5000; i++) {
            int tokens = 1 + random.nextInt(100);
            if (random.nextBoolean() && blocks.canAllocate(tokens)) {
                owners.add(blocks.allocate(tokens));
            } else if (!owners.isEmpty()) {
                blocks.free(owners.remove(random.nextInt(owners.size())));
            }
            TreeSet<Integer> owned = new TreeSet<>();
            for (int[] each : owners) {
                for (int block : each) {
                    assertThat(owned.add(block)).isTrue();
                    assertThat(block).isBetween(0, 49);
                }
            }
            assertThat(owned.size() + blocks.available()).isEqualTo(50);
        }
    }
}
