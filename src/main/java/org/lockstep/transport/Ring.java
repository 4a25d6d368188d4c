package org.lockstep.transport;

import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.HostBuffer;

/**
 * One direction between two ranks that share memory: a ring of tags and a ring of elements, one writer and one reader,
 * no lock. As FastForward (Giacomoni, Moseley, Vachharajani, PPoPP 2008), the reader learns of a message from the line
 * that holds it, so that a small one costs the transfer of a single cache line.
 *
 * <pre>
 *     0  written      bytes of elements published so far               by the writer
 *   128  consumed     bytes of elements that may be overwritten        by the reader
 *   136  taken        tags that may be overwritten                     by the reader
 *   256  32 lines     number 8 · tag 24 · written by then 8 · elements of a small message 24
 *  2304  elements     each message from a multiple of 64 on
 * </pre>
 *
 * <p>Numbers count from 1 and are never used again, so a line that was not written for this turn cannot be taken for one
 * that was.
 */
final class Ring {
    static final int INLINE_BYTES = 24;
    static final int ELEMENTS = 2304;

    private static final int WRITTEN = 0;
    private static final int CONSUMED = 128;
    private static final int TAKEN = 136;
    private static final int LINES = 256;
    private static final int LINE = 64;
    static final int TAGS = 32;
    private static final int CHUNK = 16 * 1024;

    private final Memory memory;
    private final int base;
    private final int capacity;

    /** At {@code base} of {@code memory}, with {@code capacity} bytes for elements, a power of two. */
    Ring(Memory memory, int base, int capacity) {
        if (Integer.bitCount(capacity) != 1 || capacity < LINE || base % LINE != 0) {
            throw new IllegalArgumentException("no ring at " + base + " of " + capacity + " bytes");
        }
        this.memory = memory;
        this.base = base;
        this.capacity = capacity;
    }

    private int line(long number) {
        return base + LINES + (int) (number & (TAGS - 1)) * LINE;
    }

    private int place(long position) {
        return base + ELEMENTS + (int) (position & (capacity - 1));
    }

    /** The next position where a message may begin. */
    private static long aligned(long position) {
        return (position + LINE - 1) & -LINE;
    }

    /** The end that puts messages in. Confined to one thread. */
    static final class Writer {
        private final Ring ring;
        private final Memory memory;
        private long number; // of the last tag written
        private long written;
        private long taken; // as last seen
        private long consumed; // as last seen

        private boolean begun; // the message whose tag these are, until that is written
        private long word;
        private long sequence;
        private long count;
        private @Nullable HostBuffer data;
        private int done; // elements of data
        private int width;

        Writer(Ring ring) {
            this.ring = ring;
            this.memory = ring.memory;
        }

        /**
         * Begins a message; a small one that does not wait for anything is written at once.
         *
         * @param mark in the tag's first word: how the elements come
         */
        void begin(OperationTag tag, long mark, @Nullable HostBuffer elements) {
            if (data != null || begun) {
                throw new IllegalStateException("the message before is not written");
            }
            begun = true;
            word = Frame.word(tag) | mark;
            sequence = tag.sequence();
            count = tag.count();
            done = 0;
            width = elements == null ? 1 : elements.type().bytes();
            HostBuffer some = elements == null || elements.size() == 0 ? null : elements;
            if (mark == 0 && isInline(some) && hasRoom()) {
                write(some);
            } else {
                data = some;
            }
        }

        private static boolean isInline(@Nullable HostBuffer elements) {
            return elements == null || elements.bytes() <= INLINE_BYTES;
        }

        /** The line of the message begun, in one go: its reader looks at it all the time, and takes it away between two stores. */
        private void write(@Nullable HostBuffer inline) {
            int line = ring.line(number + 1);
            if (inline != null) {
                memory.put(line + 40, inline, 0, inline.size());
                done = inline.size();
            }
            memory.set(line + 8, word);
            memory.set(line + 16, sequence);
            memory.set(line + 24, count);
            memory.set(line + 32, written);
            memory.publish(line, ++number);
            begun = false;
        }

        /** The number that the message begun has, or will have. */
        long number() {
            return begun ? number + 1 : number;
        }

        long doneBytes() {
            return (long) done * width;
        }

        /** Whether there is room for one more tag; there will be until it is written. */
        boolean hasRoom() {
            if (number - taken >= TAGS) {
                taken = memory.read(ring.base + TAKEN);
            }
            return number - taken < TAGS;
        }

        /** Whether all is written. */
        boolean push() {
            if (begun) {
                if (!hasRoom()) {
                    return false;
                }
                HostBuffer elements = data;
                if (elements == null || isInline(elements)) {
                    write(elements);
                    data = null;
                } else {
                    copy(elements);
                    write(null);
                }
            }
            HostBuffer elements = data;
            while (elements != null) {
                if (!copy(elements)) {
                    return false;
                }
                memory.publish(ring.base + WRITTEN, written);
                elements = data;
            }
            return true;
        }

        /** One piece, as far as there is room; whether there was any. */
        private boolean copy(HostBuffer elements) {
            long wish = Math.min((long) (elements.size() - done) * width, CHUNK);
            if (ring.capacity - (written - consumed) < wish) {
                consumed = memory.read(ring.base + CONSUMED);
            }
            int place = ring.place(written);
            int toEnd = ring.base + ELEMENTS + ring.capacity - place;
            long room = ring.capacity - (written - consumed);
            if (room < wish && room < ring.capacity / 4) {
                return false; // many small pieces would cost more than to wait for a larger one
            }
            int count = (int) (Math.min(Math.min(wish, room), toEnd) / width);
            memory.put(place, elements, done, count);
            done += count;
            written += (long) count * width;
            if (done == elements.size()) {
                written = aligned(written);
                data = null;
            }
            return true;
        }
    }

    /** The end that takes messages out. Confined to one thread. */
    static final class Reader {
        private final Ring ring;
        private final Memory memory;
        private long number; // of the last tag taken
        private long consumed;
        private long written; // as last seen
        private boolean here; // the tag of number + 1 was seen
        private boolean moved;
        private @Nullable HostBuffer target;
        private int wanted; // elements of target
        private int done; // of them

        Reader(Ring ring) {
            this.ring = ring;
            this.memory = ring.memory;
        }

        /** Whether the next tag is here. */
        boolean arrived() {
            if (!here) {
                int line = ring.line(number + 1);
                if (memory.read(line) != number + 1) {
                    return false;
                }
                here = true;
                written = Math.max(written, memory.get(line + 32));
            }
            return true;
        }

        /** Whether the tag that arrived is that of these words, whatever its mark. */
        boolean matches(long word, long sequence, long count) {
            int line = ring.line(number + 1);
            return (memory.get(line + 8) & ~Frame.MARKS) == word
                    && memory.get(line + 16) == sequence
                    && memory.get(line + 24) == count;
        }

        /** How the elements of the message that arrived come. */
        long mark() {
            return memory.get(ring.line(number + 1) + 8) & Frame.MARKS;
        }

        /** The tag that arrived, in words. */
        OperationTag tag() {
            int line = ring.line(number + 1);
            return Frame.tag(memory.get(line + 8) & ~Frame.MARKS, memory.get(line + 16), memory.get(line + 24));
        }

        /** The number of the message that arrived. */
        long number() {
            return number + 1;
        }

        /**
         * The next {@code count} elements of the message go to the first of {@code piece}.
         *
         * @param whole of the message, which tells where its elements are
         */
        void into(HostBuffer piece, int count, long whole) {
            if (whole <= INLINE_BYTES) {
                memory.get(ring.line(number + 1) + 40, piece, 0, count);
            } else {
                target = piece;
                wanted = count;
                done = 0;
            }
        }

        /** Whether the piece is complete. */
        boolean fill() {
            HostBuffer piece = target;
            if (piece == null) {
                return true;
            }
            int width = piece.type().bytes();
            while (done < wanted) {
                if (written == consumed) {
                    written = memory.read(ring.base + WRITTEN);
                    if (written <= consumed) {
                        written = consumed;
                        return false;
                    }
                }
                int place = ring.place(consumed);
                int toEnd = ring.base + ELEMENTS + ring.capacity - place;
                long bytes = Math.min(Math.min(written - consumed, toEnd), (long) (wanted - done) * width);
                int count = (int) (bytes / width);
                memory.get(place, piece, done, count);
                done += count;
                consumed += (long) count * width;
                moved = true;
                memory.publish(ring.base + CONSUMED, consumed);
            }
            target = null;
            return true;
        }

        /** Whether elements were taken since the last call. */
        boolean moved() {
            boolean any = moved;
            moved = false;
            return any;
        }

        /** The message that arrived was taken whole. */
        void end() {
            here = false;
            number++;
            if ((consumed & (LINE - 1)) != 0) {
                consumed = aligned(consumed);
                written = Math.max(written, consumed);
                memory.publish(ring.base + CONSUMED, consumed);
            }
            memory.publish(ring.base + TAKEN, number);
        }
    }
}
