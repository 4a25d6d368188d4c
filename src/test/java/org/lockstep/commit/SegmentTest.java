package org.lockstep.commit;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.FaultCase;

/** Rows come back as they were, or not at all. */
class SegmentTest {
    private static final long RUN = 0x1234_5678_9abc_def0L;

    private static final List<CommittedRow> ROWS = List.of(
            CommittedRow.completed(0, "Once upon a time", "stop", 4, 139),
            CommittedRow.completed(7, "", "length", 1, 1),
            CommittedRow.failed(8, "LOCKSTEP-6001 PROMPT_NULL  the prompt is null"),
            CommittedRow.completed(Integer.MAX_VALUE, "crow \ud83d\udc26 caf\u00e9 \u0000 \ud83d half", "stop", 3, 2));

    @Test
    void rowsComeBackAsTheyWere() {
        Segment read = Segment.decode(RUN, Segment.encode(RUN, ROWS));
        assertThat(read.rows()).isEqualTo(ROWS);
        assertThat(read.whole()).isTrue();
        assertThat(Segment.decode(RUN, Segment.encode(RUN, List.of())).whole()).isTrue();
    }

    @Test
    void anotherRunsRowsAreNone() {
        assertThat(Segment.decode(RUN + 1, Segment.encode(RUN, ROWS)).rows()).isEmpty();
    }

    @Test
    @FaultCase({"F59", "F72"})
    void aTornTailIsIgnoredWhereverItBreaksOff() {
        byte[] whole = Segment.encode(RUN, ROWS);
        int before = 0;
        for (int length = 0; length < whole.length; length++) {
            Segment read = Segment.decode(RUN, Arrays.copyOf(whole, length));
            assertThat(read.whole()).as("cut to %d bytes", length).isFalse();
            assertThat(read.rows()).isEqualTo(ROWS.subList(0, read.rows().size()));
            assertThat(read.rows().size()).isGreaterThanOrEqualTo(before);
            before = read.rows().size();
        }
        assertThat(before).isEqualTo(ROWS.size());
    }

    @Test
    @FaultCase({"F71", "F72"})
    void aBitThatFlipsNeverMakesAnotherRow() {
        byte[] good = Segment.encode(RUN, ROWS);
        for (int bit = 0; bit < good.length * 8; bit++) {
            byte[] bad = good.clone();
            bad[bit / 8] ^= (byte) (1 << bit % 8);
            Segment read = Segment.decode(RUN, bad);
            assertThat(read.whole()).as("bit %d", bit).isFalse();
            assertThat(ROWS).as("bit %d", bit).containsAll(read.rows());
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5})
    @FaultCase("F71")
    void bytesOfAnyKindAreNoRowsAndNoError(long seed) {
        Random random = new Random(seed);
        byte[] good = Segment.encode(RUN, ROWS);
        for (int round = 0; round < 20_000; round++) {
            byte[] bytes = good.clone();
            int from = random.nextInt(bytes.length);
            int to = from + random.nextInt(bytes.length - from) + 1;
            for (int i = from; i < to; i++) {
                bytes[i] = (byte) random.nextInt(256);
            }
            assertThat(ROWS)
                    .as("seed %d, round %d", seed, round)
                    .containsAll(Segment.decode(RUN, bytes).rows());
        }
    }

    /** Lengths that a checksum vouches for, of a writer that means harm. */
    @Test
    @FaultCase("F71")
    void aLengthIsNeverBelieved() {
        for (int length : new int[] {Integer.MIN_VALUE, -1, 1, 18, 1 << 30, Integer.MAX_VALUE}) {
            Bytes all = new Bytes().put(0x4c4f434b53544550L).put(1).put(RUN);
            all.put(Bytes.checksum(all.array(), 0, 20)).put(length).put(0).put(new byte[40]);
            assertThat(Segment.decode(RUN, all.array()).rows()).isEmpty();
        }
    }

    @Test
    void notesComeBackOrAreNone() {
        List<String> strings = List.of("a", "", "caf\u00e9 \ud83d", "x".repeat(1000));
        byte[] good = Note.encode(strings);
        assertThat(Note.decode(good)).contains(strings);
        IntStream.range(0, good.length)
                .forEach(length ->
                        assertThat(Note.decode(Arrays.copyOf(good, length))).isEmpty());
        for (int bit = 0; bit < good.length * 8; bit++) {
            byte[] bad = good.clone();
            bad[bit / 8] ^= (byte) (1 << bit % 8);
            assertThat(Note.decode(bad)).isEmpty();
        }
    }
}
