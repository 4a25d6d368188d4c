package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.HashSet;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.tensor.Buffer;

class BlocksTest {
    @Test
    void evenBlocksFollowEachOther() {
        Blocks blocks = Blocks.even(3, 5);
        assertThat(blocks.ranks()).isEqualTo(3);
        assertThat(blocks.total()).isEqualTo(15);
        assertThat(blocks).hasToString("[5, 5, 5]");
        assertThat(IntStream.range(0, 3).mapToLong(blocks::from)).containsExactly(0L, 5L, 10L);
        assertThat(blocks.of(Buffer.ofInts(IntStream.range(0, 15).toArray()), 1)
                        .toHost()
                        .toInts())
                .containsExactly(5, 6, 7, 8, 9);
        assertThat(Blocks.even(1 << 20, 1L << 40).from((1 << 20) - 1)).isEqualTo(((1L << 20) - 1) << 40);
    }

    @Test
    void countsMayBeAnythingButNegative() {
        Blocks blocks = Blocks.of(0, 3, 0, 2);
        assertThat(blocks.total()).isEqualTo(5);
        assertThat(IntStream.range(0, 4).mapToLong(blocks::from)).containsExactly(0L, 0L, 3L, 3L);
        assertThat(IntStream.range(0, 4).mapToLong(blocks::count)).containsExactly(0L, 3L, 0L, 2L);
        assertThat(blocks).hasToString("[0, 3, 0, 2]");
        assertThat(Blocks.of().total()).isZero();
        assertThatThrownBy(() -> Blocks.of(1, -2))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("count (-2) of rank 1 is negative");
    }

    @ParameterizedTest
    @CsvSource({"1,0", "3,0", "3,1", "3,2", "3,3", "7,10000", "5,9223372036854775807", "1024,9223372036854775806"})
    void sharesDifferByOneAtMost(int ranks, long total) {
        Blocks blocks = Blocks.shares(ranks, total);
        assertThat(blocks.total()).isEqualTo(total);
        long end = 0;
        for (int rank = 0; rank < ranks; rank++) {
            assertThat(blocks.from(rank)).isEqualTo(end);
            assertThat(blocks.count(rank)).isBetween(total / ranks, total / ranks + 1);
            end += blocks.count(rank);
        }
        assertThat(end).isEqualTo(total);
    }

    @Test
    void nothingWraps() {
        assertThatThrownBy(() -> Blocks.even(2, Long.MAX_VALUE / 2 + 1))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("more than 9223372036854775807");
        assertThat(Blocks.even(2, Long.MAX_VALUE / 2).total()).isEqualTo(Long.MAX_VALUE - 1);
        assertThatThrownBy(() -> Blocks.of(Long.MAX_VALUE, 1))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("rank 1's (1)");
        assertThatThrownBy(() -> Blocks.even(2, -1)).hasMessageContaining("must not be negative");
        assertThatThrownBy(() -> Blocks.shares(0, 1)).hasMessageContaining("shared by no ranks");
        assertThatThrownBy(() -> Blocks.shares(2, -1)).hasMessageContaining("must not be negative");
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 5})
    void theDigestTellsCountsApart(int ranks) {
        Set<Integer> seen = new HashSet<>();
        int kinds = (int) Math.pow(4, ranks);
        for (int kind = 0; kind < kinds; kind++) {
            long[] counts = new long[ranks];
            for (int rank = 0; rank < ranks; rank++) {
                counts[rank] = kind >> (2 * rank) & 3;
            }
            int digest = Blocks.of(counts).digest();
            assertThat(digest).isNegative().isEqualTo(Blocks.of(counts).digest());
            seen.add(digest);
        }
        assertThat(seen).hasSize(kinds);
        assertThat(Blocks.of(7, 7).digest()).isEqualTo(Blocks.even(2, 7).digest());
    }
}
