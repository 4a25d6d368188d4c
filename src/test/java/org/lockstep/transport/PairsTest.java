package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Which ranks are connected. */
class PairsTest {
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 16, 17, 31, 32, 100, 128, 129, 255, 256, 1000})
    void bothEndsAgreeAndNobodyIsConnectedToItself(int size) {
        for (int a = 0; a < size; a++) {
            for (int b = 0; b < size; b++) {
                assertThat(Pairs.isConnected(size, a, b)).isEqualTo(Pairs.isConnected(size, b, a));
            }
            assertThat(Pairs.isConnected(size, a, a)).isFalse();
        }
    }

    @ParameterizedTest
    @CsvSource({"2, 1", "16, 15", "128, 127", "129, 14", "256, 15", "1000, 20"})
    void aRankHasFewConnections(int size, int expected) {
        int count = 0;
        for (int peer = 0; peer < size; peer++) {
            count += Pairs.isConnected(size, 3 % size, peer) ? 1 : 0;
        }
        assertThat(count).isEqualTo(expected);
    }

    /** Recursive doubling and dissemination need ±2^k, a ring ±1, a binomial tree of any root v and v minus its lowest bit. */
    @ParameterizedTest
    @ValueSource(ints = {17, 31, 32, 33, 100, 129, 130, 255, 256, 257})
    void whatTreesAndRingsNeedIsThere(int size) {
        for (int root = 0; root < size; root += 5) {
            for (int virtual = 1; virtual < size; virtual++) {
                int rank = (virtual + root) % size;
                int parent = ((virtual & (virtual - 1)) + root) % size;
                assertThat(Pairs.isConnected(size, rank, parent)).isTrue();
            }
        }
        for (int rank = 0; rank < size; rank++) {
            assertThat(Pairs.isConnected(size, rank, (rank + 1) % size)).isTrue();
        }
    }
}
