package org.lockstep.collective;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;

/**
 * What a rank can ask another one that is busy computing: short calls beside the communicators, answered at once by a
 * thread that is not the rank's own (active messages, after von Eicken et al. 1992).
 *
 * <p>Between ranks of one JVM a call is a call; between JVMs it travels over the connections by which they watch each other,
 * by way of the first rank's. Calls of one rank to another arrive in their order, each exactly once. What goes wrong with one
 * ends the world: a service that throws, a question to a port where nobody answers, a rank that leaves and owes an answer.
 * And the other way round: when the world is aborted or a peer is lost, every call that has no answer yet fails with
 * {@link CommunicatorException}, at once.
 *
 * <p>Thread-safe. The rank of {@link #serve} and {@link #call} is the one whose plane it is.
 */
public interface ControlPlane {
    /** The most bytes of a question or an answer. They are held in memory on their way: much belongs into parcels. */
    int MAX_BYTES = ObjectCodec.MAX_BYTES;

    /** How many services a rank can have. */
    int PORTS = 256;

    /** Answers questions to one port of a rank. Thread-safe. */
    @FunctionalInterface
    interface Service {
        /**
         * Answers, now or later. Called by whatever thread brings the question, which also watches the peers: it must not
         * wait, nor hold a lock while it calls others or completes an answer.
         *
         * @param from the rank that asks
         * @param question is the service's own
         * @return the answer, whose bytes are not to be changed any more; what it fails with ends the world
         * @throws RuntimeException which ends the world, {@code from} named as its culprit
         */
        CompletionStage<byte[]> answer(int from, byte[] question);
    }

    /**
     * Answers from now on at {@code port} of this rank.
     *
     * @throws IllegalArgumentException if the port is not in 0..255
     * @throws IllegalStateException if the rank answers there already
     */
    void serve(int port, Service service);

    /** Answers there no more. */
    void retire(int port);

    /**
     * Asks {@code rank} of the world, which may be this one.
     *
     * @param question is the call's from now on
     * @return what the service there answers; code that depends on it runs in the thread that brings it, under the same
     *     duties as a {@link Service}
     * @throws IllegalArgumentException if there is no such rank or port, or the question is too long
     */
    CompletableFuture<byte[]> call(int rank, int port, byte[] question);
}
