package org.lockstep.cpu;

import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.HostBuffer;

/**
 * How the ranks of one group see each other's data; what they do with it is {@link CpuCommunicator}'s business.
 *
 * <p>Confined to the thread that its communicator admitted, except {@link #wake}. All methods throw {@link Failed} when
 * the operation cannot be completed; the transport is then good for {@link #abort} only.
 */
interface Transport {
    /**
     * Shows {@code offers[p]} to each peer p and returns what each shows to this rank, after all have told the same tag.
     *
     * <p>A view of a peer's data is valid until this rank's next {@code swap} or {@link #finish}; the offered data must
     * not change before this rank's next but one of these is complete, or {@link #finish} is.
     *
     * @param offers by rank in group; null or empty where there is nothing to show
     * @param targets where a transport that has to copy puts what peer p shows, of exactly the length that p offers; null
     *     where it shows nothing
     * @return by rank in group: the targets, or the peers' own memory; null where nothing was expected, and at this rank
     */
    @Nullable
    HostBuffer[] swap(
            OperationTag tag,
            @Nullable HostBuffer[] offers,
            IntFunction<@Nullable HostBuffer> targets,
            Deadline deadline);

    /** Returns when no peer looks at this rank's data any more. */
    void finish(OperationTag tag, Deadline deadline);

    /** Gives {@code data} to {@code peer}; it may be changed on return. */
    void send(OperationTag tag, HostBuffer data, int peer, Deadline deadline);

    /** Fills {@code data} with what {@code peer} sends under the same tag. */
    void receive(OperationTag tag, HostBuffer data, int peer, Deadline deadline);

    /** Tells the peers that this rank left, and frees everything. Waits for nobody. */
    void close();

    /** Tells the peers why, as far as that is possible without waiting, and frees everything. Idempotent. */
    void abort(Verdict verdict);

    /** Makes the thread that waits here look at its rank's fate. From any thread. */
    void wake();

    /** An operation failed; the communicator makes an exception of it. */
    final class Failed extends RuntimeException {
        private static final long serialVersionUID = 1;

        final transient Verdict verdict;

        Failed(Verdict verdict) {
            super(verdict.text(), verdict.cause(), false, false);
            this.verdict = verdict;
        }
    }
}
