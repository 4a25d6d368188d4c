package org.lockstep.transport;

import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.HostBuffer;

/**
 * What one thread lends to another of its JVM: large messages are shown where they are, not copied. The tag in the ring
 * tells that one is lent, and orders it before its reading.
 *
 * <p>A lender that cannot wait takes a copy and shows that instead, unless the borrower is looking already.
 */
final class Loans {
    private final AtomicReferenceArray<@Nullable HostBuffer> shown = new AtomicReferenceArray<>(Ring.TAGS);
    private final AtomicLong returned = new AtomicLong(); // number of the last message that was

    private static int slot(long number) {
        return (int) (number & (Ring.TAGS - 1));
    }

    /** By the lender, when the ring has room for the tag of message {@code number}, and before it is published. */
    void show(long number, HostBuffer buffer) {
        shown.setPlain(slot(number), buffer);
    }

    /** By the lender: whether {@code buffer}, shown as {@code number}, is not looked at and never will be. */
    boolean replace(long number, HostBuffer buffer) {
        if (shown.get(slot(number)) != buffer) {
            return returned.get() >= number; // the borrower looks at it, or did
        }
        HostBuffer copy = HostBuffer.allocate(buffer.type(), buffer.length());
        copy.copyFrom(buffer);
        return shown.compareAndSet(slot(number), buffer, copy) || returned.get() >= number;
    }

    /** By the borrower, after the message was published; it looks from now on. */
    HostBuffer look(long number) {
        HostBuffer buffer = shown.getAndSet(slot(number), null);
        if (buffer == null) {
            throw new IllegalStateException("message " + number + " was lent, but is not here");
        }
        return buffer;
    }

    /** By the borrower, who does not look at message {@code number} any more. */
    void giveBack(long number) {
        returned.lazySet(number);
    }

    /** The number of the last message that was given back. */
    long returned() {
        return returned.get();
    }
}
