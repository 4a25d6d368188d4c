package org.lockstep.transport;

/**
 * A call or its answer on its way from rank to rank. Immutable; the array is not copied and not to be changed.
 *
 * @param envelope what is known of it at any frame
 * @param content {@code envelope.bytes()} of them
 */
@SuppressWarnings("ArrayRecordComponent") // nobody compares messages; copies would only cost
record Message(Envelope envelope, byte[] content) {
    /**
     * Who calls whom.
     *
     * @param answers whether this is the answer; then {@code from} is the one that was asked
     * @param port of the rank that is asked, 0 to 255
     * @param number of the call in the JVM that asks
     * @param from rank in the world
     * @param to rank in the world
     * @param bytes of the content
     */
    record Envelope(boolean answers, int port, long number, int from, int to, int bytes) {}

    static Message call(int port, long number, int from, int to, byte[] content) {
        return new Message(new Envelope(false, port, number, from, to, content.length), content);
    }

    /** The answer to this call. */
    Message answer(byte[] words) {
        return new Message(
                new Envelope(true, envelope.port, envelope.number, envelope.to, envelope.from, words.length), words);
    }

    int from() {
        return envelope.from;
    }

    int to() {
        return envelope.to;
    }
}
