package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.reflect.Array;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/** A ring brings what was put in, in order and whole: whatever the sizes, the types, and who is faster. */
@Timeout(120)
class RingTest {
    private static final int CAPACITY = 4096;

    private static Ring ring(int capacity) {
        ByteBuffer bytes = ByteBuffer.allocateDirect(Ring.ELEMENTS + capacity + 64);
        return new Ring(new Memory(bytes.alignedSlice(64)), 0, capacity);
    }

    private static OperationTag tag(long sequence, HostBuffer data) {
        return new OperationTag(sequence, Operation.SEND, null, data.type(), data.length(), 1);
    }

    /** Message {@code sequence} of a run: type, length and elements follow from its number and the seed. */
    private static HostBuffer message(long seed, long sequence) {
        Random random = new Random(seed * 1_000_003 + sequence);
        DataType type = DataType.values()[random.nextInt(DataType.values().length)];
        int fits = CAPACITY / type.bytes();
        int length = switch (random.nextInt(8)) {
            case 0 -> 0;
            case 1 -> fits + random.nextInt(3) - 1;
            case 2 -> random.nextInt(3 * fits);
            case 3 -> Ring.INLINE_BYTES / type.bytes() + random.nextInt(3) - 1;
            default -> random.nextInt(100);
        };
        HostBuffer whole = HostBuffer.allocate(type, length + 3L);
        for (int i = 0; i < length; i++) {
            set(whole, i + 2, random.nextInt());
        }
        return whole.slice(2, length);
    }

    private static void set(HostBuffer buffer, int at, int value) {
        switch (buffer.type()) {
            case F64 -> buffer.doubles()[at] = value;
            case F32 -> buffer.floats()[at] = value;
            case BF16, F16 -> buffer.shorts()[at] = (short) value;
            case I64 -> buffer.longs()[at] = value * 0x100000001L;
            case I32 -> buffer.ints()[at] = value;
            case I8, U8, F8_E4M3, F8_E5M2 -> buffer.byteArray()[at] = (byte) value;
        }
    }

    private static void assertSame(HostBuffer found, HostBuffer sent, long sequence) {
        for (int i = 0; i < sent.size(); i++) {
            Object here = Array.get(found.array(), found.offset() + i);
            Object there = Array.get(sent.array(), sent.offset() + i);
            if (!here.equals(there)) {
                assertThat(here)
                        .as("element %d of message %d, %s", i, sequence, sent.type())
                        .isEqualTo(there);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void anyInterleavingOfPiecesBringsWhatWasSent(long seed) {
        Random random = new Random(seed);
        Ring ring = ring(CAPACITY);
        Ring.Writer writer = new Ring.Writer(ring);
        Taker taker = new Taker(new Ring.Reader(ring), seed);
        Deque<Long> underway = new ArrayDeque<>();
        boolean writing = false;
        long sent = 0;
        for (int step = 0; step < 40_000; step++) {
            // One of the two is ahead for a while: the ring runs full of elements, full of tags, and empty.
            boolean pushes = random.nextInt(8) < (step / 500 % 2 == 0 ? 7 : 1);
            if (pushes) {
                if (!writing) {
                    HostBuffer data = message(seed, ++sent);
                    writer.begin(tag(sent, data), 0, data);
                    assertThat(writer.number()).isEqualTo(sent);
                    underway.add(sent);
                }
                writing = !writer.push();
                assertThat(underway.size() - (writing ? 1 : 0)).isLessThanOrEqualTo(Ring.TAGS);
            } else if (taker.step(random)) {
                assertThat(underway.remove()).isEqualTo(taker.taken);
            }
        }
        while (!underway.isEmpty()) {
            writing = writing && !writer.push();
            if (taker.step(random)) {
                assertThat(underway.remove()).isEqualTo(taker.taken);
            }
        }
        assertThat(sent).isGreaterThan(1_000);
    }

    /** Takes the messages of a run in pieces of any size, and looks at every element. */
    private static final class Taker {
        private final Ring.Reader reader;
        private final long seed;
        private HostBuffer expected = HostBuffer.allocate(DataType.U8, 0);
        private HostBuffer found = expected;
        private boolean begun;
        private boolean filling;
        private int piece;
        private int done;
        long taken;

        Taker(Ring.Reader reader, long seed) {
            this.reader = reader;
            this.seed = seed;
        }

        /** One step; whether a message is complete. */
        boolean step(Random random) {
            if (!begun) {
                if (!reader.arrived()) {
                    return false;
                }
                expected = message(seed, taken + 1);
                OperationTag tag = tag(taken + 1, expected);
                assertThat(reader.matches(Frame.word(tag), tag.sequence(), tag.count()))
                        .isTrue();
                assertThat(reader.tag()).isEqualTo(tag);
                assertThat(reader.number()).isEqualTo(taken + 1);
                found = HostBuffer.allocate(expected.type(), expected.length() + 1)
                        .slice(1, expected.length());
                begun = true;
                done = 0;
            }
            if (done < expected.size()) {
                int left = expected.size() - done;
                boolean whole = expected.bytes() <= Ring.INLINE_BYTES;
                if (!filling) {
                    piece = whole ? left : 1 + random.nextInt(left);
                    reader.into(found.slice(done, left), piece, expected.bytes());
                    filling = true;
                }
                if (!reader.fill()) {
                    return false;
                }
                filling = false;
                done += piece;
            }
            if (done < expected.size()) {
                return false;
            }
            reader.end();
            begun = false;
            assertSame(found, expected, ++taken);
            return true;
        }
    }

    @Test
    @SuppressWarnings("ThreadPriorityCheck") // a test may run on one core
    void twoThreadsMissNothing() throws Exception {
        int messages = 5_000; // a time slice each where others have the cores
        long seed = 42;
        Ring ring = ring(CAPACITY);
        CompletableFuture<Void> writing = CompletableFuture.runAsync(() -> {
            Ring.Writer writer = new Ring.Writer(ring);
            for (long sequence = 1;
                    sequence <= messages && !Thread.currentThread().isInterrupted();
                    sequence++) {
                HostBuffer data = message(seed, sequence);
                writer.begin(tag(sequence, data), 0, data);
                while (!writer.push()) {
                    Thread.yield();
                }
            }
        });
        Taker taker = new Taker(new Ring.Reader(ring), seed);
        Random random = new Random(seed);
        while (taker.taken < messages) {
            if (!taker.step(random)) {
                Thread.yield();
            }
            if (writing.isCompletedExceptionally()) {
                break;
            }
        }
        writing.get(10, TimeUnit.SECONDS);
    }

    @ParameterizedTest
    @EnumSource(DataType.class)
    void messagesAsLargeAsTheRingAndOneElementLargerPassThroughIt(DataType type) {
        Ring ring = ring(CAPACITY);
        Ring.Writer writer = new Ring.Writer(ring);
        Ring.Reader reader = new Ring.Reader(ring);
        int fits = CAPACITY / type.bytes();
        long sequence = 0;
        for (int before = 0; before < 3; before++) { // from other positions of the ring
            for (int length : new int[] {fits, fits + 1, fits - 1, 2 * fits + 1, 25}) {
                HostBuffer data = HostBuffer.allocate(type, length);
                for (int i = 0; i < length; i++) {
                    set(data, i, i + before);
                }
                writer.begin(tag(++sequence, data), 0, data);
                boolean all = writer.push();
                assertThat(all).as("all at once").isEqualTo(length <= fits);
                assertThat(writer.doneBytes())
                        .isBetween(Math.min(data.bytes(), CAPACITY * 3 / 4), Math.min(data.bytes(), CAPACITY));
                assertThat(reader.arrived()).isTrue();
                HostBuffer found = HostBuffer.allocate(type, length);
                reader.into(found, found.size(), data.bytes());
                while (!reader.fill()) {
                    all = writer.push();
                }
                assertThat(writer.push()).isTrue();
                reader.end();
                assertSame(found, data, sequence);
                assertThat(reader.arrived()).isFalse();
            }
        }
    }

    @Test
    void aFullRingOfTagsTakesOneMoreWhenOneIsTaken() {
        Ring ring = ring(CAPACITY);
        Ring.Writer writer = new Ring.Writer(ring);
        Ring.Reader reader = new Ring.Reader(ring);
        HostBuffer none = HostBuffer.allocate(DataType.U8, 0);
        for (int sequence = 1; sequence <= Ring.TAGS; sequence++) {
            assertThat(writer.hasRoom()).isTrue();
            writer.begin(tag(sequence, none), 0, none);
            assertThat(writer.push()).isTrue();
        }
        assertThat(writer.hasRoom()).isFalse();
        writer.begin(tag(Ring.TAGS + 1, none), 0, none);
        assertThat(writer.push()).isFalse();
        assertThat(reader.arrived()).isTrue();
        reader.end();
        assertThat(writer.hasRoom()).isTrue();
        assertThat(writer.push()).isTrue();
        for (int sequence = 2; sequence <= Ring.TAGS + 1; sequence++) {
            assertThat(reader.arrived()).isTrue();
            assertThat(reader.tag().sequence()).isEqualTo(sequence);
            reader.end();
        }
        assertThat(reader.arrived()).isFalse();
    }
}
