package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class BlockManagerTest {
    private static Sequence sequence(int... tokens) {
        return new Sequence(0, tokens, tokens.length, SamplingParams.greedy(), 1000);
    }

    private static int[] upTo(int end) {
        return IntStream.range(0, end).toArray();
    }

    /** Admits a sequence and plans all its tokens. */
    private static Sequence run(BlockManager blocks, int... tokens) {
        Sequence sequence = sequence(tokens);
        assertThat(blocks.admit(sequence)).isTrue();
        plan(blocks, sequence);
        return sequence;
    }

    private static void plan(BlockManager blocks, Sequence sequence) {
        int before = sequence.computed();
        sequence.advance(sequence.remaining());
        blocks.note(sequence, before);
    }

    private static int[] blocks(Sequence sequence) {
        return Arrays.copyOf(sequence.blocks(), sequence.blockCount());
    }

    @Test
    void givesTheBlocksOfTheTokensAndOneMoreWhenTheyAreOutgrown() {
        BlockManager blocks = new BlockManager(4, 16, false);
        Sequence sequence = run(blocks, upTo(33));
        assertThat(sequence.blockCount()).isEqualTo(3);
        assertThat(blocks.available()).isEqualTo(1);
        for (int i = 33; i < 48; i++) {
            sequence.append(i);
            assertThat(blocks.isOutgrown(sequence)).isFalse();
        }
        sequence.append(48);
        assertThat(blocks.isOutgrown(sequence)).isTrue();
        sequence.addBlock(blocks.take());
        assertThat(blocks.isOutgrown(sequence)).isFalse();
        assertThat(blocks.available()).isZero();
    }

    @Test
    void refusesMoreThanThereIsAndBlocksWithoutAnOwner() {
        BlockManager blocks = new BlockManager(2, 4, false);
        Sequence first = run(blocks, upTo(5));
        Sequence second = sequence(1);
        assertThat(blocks.admit(second)).isFalse();
        assertThat(second.blockCount()).isZero();
        assertThatThrownBy(blocks::take).hasMessage("none of 2 blocks is available");
        int[] taken = blocks(first);
        blocks.release(first);
        first.start(taken, 0);
        assertThatThrownBy(() -> blocks.release(first))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("has no owner");
        assertThatThrownBy(() -> new BlockManager(0, 4, true)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void equalBeginningsShareFullBlocksAndTheLastTokenIsAlwaysComputed() {
        BlockManager blocks = new BlockManager(20, 4, true);
        Sequence first = run(blocks, upTo(10));
        Sequence same = sequence(upTo(10));
        assertThat(blocks.admit(same)).isTrue();
        assertThat(same.computed()).isEqualTo(8);
        assertThat(blocks(same)).startsWith(first.blocks()[0], first.blocks()[1]);
        assertThat(same.blocks()[2]).isNotEqualTo(first.blocks()[2]);
        assertThat(blocks.references(first.blocks()[1])).isEqualTo(2);
        assertThat(blocks.references(first.blocks()[2])).isEqualTo(1);

        Sequence exact = sequence(upTo(8)); // both of its blocks are there, but the last holds its last token
        assertThat(blocks.admit(exact)).isTrue();
        assertThat(exact.computed()).isEqualTo(4);
        Sequence other = sequence(0, 1, 2, 3, 4, 5, 6, 99, 8); // a token of the second block differs
        assertThat(blocks.admit(other)).isTrue();
        assertThat(other.computed()).isEqualTo(4);
        Sequence shifted = sequence(4, 5, 6, 7, 8); // the second block's tokens, but at the beginning
        assertThat(blocks.admit(shifted)).isTrue();
        assertThat(shifted.computed()).isZero();
    }

    @Test
    void whatIsDoneIsFoundUntilItsRoomIsWantedAndLastBlocksGoFirst() {
        BlockManager blocks = new BlockManager(4, 2, true);
        Sequence first = run(blocks, 1, 2, 3, 4, 5, 6, 7); // three full blocks, one begun
        int[] owned = blocks(first);
        blocks.release(first);
        assertThat(blocks.available()).isEqualTo(4);
        Sequence second = run(blocks, 9, 9, 9); // takes the begun one and the last full one
        assertThat(blocks(second)).containsExactly(owned[3], owned[2]);
        Sequence again = sequence(1, 2, 3, 4, 5);
        assertThat(blocks.admit(again)).isFalse(); // two shared, but there is no third
        blocks.release(second);
        assertThat(blocks.admit(again)).isTrue();
        assertThat(again.computed()).isEqualTo(4);
        assertThat(blocks(again)).startsWith(owned[0], owned[1]);
    }

    @Test
    void theLeastRecentlyUsedIsForgotten() {
        BlockManager blocks = new BlockManager(3, 1, true);
        blocks.release(run(blocks, 1));
        blocks.release(run(blocks, 2));
        blocks.release(run(blocks, 3));
        Sequence first = sequence(1, 7); // used again, so 2 is now the oldest, and gives its room
        assertThat(blocks.admit(first)).isTrue();
        assertThat(first.computed()).isEqualTo(1);
        blocks.release(first);
        assertThat(computedOf(blocks, 2, 7)).isZero();
        assertThat(computedOf(blocks, 1, 7)).isEqualTo(1);
    }

    private static int computedOf(BlockManager blocks, int... tokens) {
        Sequence probe = sequence(tokens);
        assertThat(blocks.admit(probe)).isTrue();
        int computed = probe.computed();
        blocks.release(probe);
        return computed;
    }

    @Test
    void outputIsFoundTooAndWithoutTheSwitchNothingIs() {
        for (boolean shares : new boolean[] {true, false}) {
            BlockManager blocks = new BlockManager(8, 2, shares);
            Sequence sequence = run(blocks, 1, 2, 3);
            sequence.append(4);
            plan(blocks, sequence);
            blocks.release(sequence);
            assertThat(computedOf(blocks, 1, 2, 3, 4, 5)).isEqualTo(shares ? 4 : 0);
        }
    }

    /** Against a plain record of what each block holds: nobody is given another's block, or one that holds other tokens. */
    @Test
    void anyRoundOfComingsAndGoingsKeepsTheBooks() {
        Random random = new Random(3);
        for (int round = 0; round < 60; round++) {
            int size = 1 + random.nextInt(5);
            int count = 10 + random.nextInt(40);
            BlockManager blocks = new BlockManager(count, size, random.nextInt(4) > 0);
            Map<Integer, List<Integer>> contents = new HashMap<>(); // all tokens up to the end of a full block
            List<Sequence> owners = new ArrayList<>();
            for (int i = 0; i < 400; i++) {
                int dice = random.nextInt(4);
                if (dice == 0) {
                    int[] tokens =
                            random.ints(1 + random.nextInt(6 * size), 0, 2).toArray();
                    Sequence sequence = sequence(tokens);
                    int available = blocks.available();
                    if (blocks.admit(sequence)) {
                        for (int b = 0; b < sequence.computed() / size; b++) {
                            assertThat(contents.get(sequence.blocks()[b])).isEqualTo(prefix(sequence, (b + 1) * size));
                        }
                        owners.add(sequence);
                    } else {
                        assertThat(sequence.blockCount()).isZero();
                        assertThat(blocks.available()).isEqualTo(available);
                    }
                } else if (!owners.isEmpty()) {
                    Sequence sequence = owners.get(random.nextInt(owners.size()));
                    if (dice == 1) {
                        blocks.release(sequence);
                        owners.remove(sequence);
                    } else {
                        grow(blocks, sequence, random);
                        for (int b = 0; b < sequence.computed() / size; b++) {
                            contents.put(sequence.blocks()[b], prefix(sequence, (b + 1) * size));
                        }
                    }
                }
                audit(blocks, owners, count, size);
            }
        }
    }

    private static void grow(BlockManager blocks, Sequence sequence, Random random) {
        if (sequence.remaining() == 0) {
            sequence.append(random.nextInt(2));
        }
        if (blocks.isOutgrown(sequence)) {
            if (blocks.available() == 0) {
                return;
            }
            sequence.addBlock(blocks.take());
        }
        int before = sequence.computed();
        sequence.advance(1 + random.nextInt(sequence.remaining()));
        blocks.note(sequence, before);
    }

    private static List<Integer> prefix(Sequence sequence, int end) {
        return IntStream.range(0, end).mapToObj(sequence::token).toList();
    }

    private static void audit(BlockManager blocks, List<Sequence> owners, int count, int size) {
        int[] references = new int[count];
        Set<Integer> own = new HashSet<>(); // blocks that are not full belong to one only
        for (Sequence each : owners) {
            for (int b = 0; b < each.blockCount(); b++) {
                references[each.blocks()[b]]++;
                if ((b + 1) * size > each.computed()) {
                    assertThat(own.add(each.blocks()[b])).isTrue();
                }
            }
        }
        int owned = 0;
        for (int b = 0; b < count; b++) {
            assertThat(blocks.references(b)).isEqualTo(references[b]);
            owned += references[b] > 0 ? 1 : 0;
            assertThat(own.contains(b) && references[b] > 1).isFalse();
        }
        assertThat(owned + blocks.available()).isEqualTo(count);
    }
}
