package org.lockstep.collective;

import org.lockstep.tensor.Buffer;

/**
 * One half of a transfer between two ranks of a group.
 *
 * @param sends whether {@code buffer} goes to {@code peer}, or is filled by it
 * @param buffer the data
 * @param peer rank in group
 */
public record Transfer(boolean sends, Buffer buffer, int peer) {
    /** What errors call it whose message has this tag, for who sends it or for who expects it. */
    public Object called(OperationTag tag) {
        return sends ? tag : new Expected(tag, peer);
    }
}
