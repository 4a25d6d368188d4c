package org.lockstep.collective;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Shape;
import org.lockstep.tensor.Tensor;

/**
 * Named tensors on their way through a group: first their names, types and shapes as one object, which goes over the links of the
 * group and not over the {@link ControlPlane}, then the elements of each that has any, in one transfer of their own. Order is kept.
 * They travel from host memory, where those of a device are copied first, and arrive there, in a map nobody can change: what carries
 * a device's buffers between devices has no part in it, nor in what is gathered.
 *
 * <p>{@link #gatheredOver} makes use of what tensor parallelism leaves: all ranks of a tensor group hold the same
 * activations, so each sends only its share to its counterpart, and the counterparts gather the whole among themselves.
 *
 * <pre>{@code
 * TensorMaps stages = TensorMaps.in(communicators.pipeline()).gatheredOver(communicators.tensor());
 * stages.send(Map.of("hidden", hidden));                         // 1/tp of it, to the next stage
 * Tensor hidden = stages.receive().get("hidden");                // from the stage before
 * }</pre>
 *
 * <p>The peer says how much memory to take, so that is {@link #withLimit limited}. Immutable; threads and errors as
 * {@link Communicator}, also for what a peer must not send: then the group is aborted.
 */
public final class TensorMaps {
    private final Communicator group;
    private final Optional<Communicator> tensorGroup;
    private final long limit;

    private TensorMaps(Communicator group, Optional<Communicator> tensorGroup, long limit) {
        this.group = group;
        this.tensorGroup = tensorGroup;
        this.limit = limit;
    }

    /** Maps that travel in {@code group}, whole, and of no more bytes than half of what this JVM can ever have. */
    public static TensorMaps in(Communicator group) {
        return new TensorMaps(group, Optional.empty(), Runtime.getRuntime().maxMemory() / 2);
    }

    /**
     * These, of which a transfer between two ranks is cut: each rank of {@code tensorGroup} sends its share of every tensor
     * whose length is a multiple of that group's size, and the receivers gather over theirs. All ranks of both groups take
     * part, each with its counterpart, which has the same rank in its tensor group. A broadcast is never cut.
     */
    public TensorMaps gatheredOver(Communicator tensorGroup) {
        return new TensorMaps(group, Optional.of(tensorGroup), limit);
    }

    /**
     * These, with another limit to what a peer may send as one map.
     *
     * @param bytes of all its tensors together
     */
    public TensorMaps withLimit(long bytes) {
        if (bytes < 0) {
            throw new IllegalArgumentException("limit (" + bytes + ") must not be negative");
        }
        return new TensorMaps(group, tensorGroup, bytes);
    }

    /** Sends to {@code peer}, a rank in this group, which calls {@link #receive(int)}. */
    public void send(Map<String, Tensor> tensors, int peer) {
        Arguments.peer(group, peer);
        TensorContents contents = TensorContents.of(required(tensors), pieces(), piece());
        group.sendObject(contents, peer);
        for (Tensor tensor : tensors.values()) {
            if (tensor.buffer().length() > 0) {
                group.send(share(tensor.buffer()).toHost(), peer); // as who receives it has it
            }
        }
    }

    /** {@link #send(Map, int)} to the next rank of the group; the last one's next is the first. */
    public void send(Map<String, Tensor> tensors) {
        send(tensors, (group.rankInGroup() + 1) % group.size());
    }

    /** Receives what {@code peer}, a rank in this group, sends. */
    public Map<String, Tensor> receive(int peer) {
        TensorContents contents = sound(group.receiveObject(peer, TensorContents.class), pieces(), piece(), peer);
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        for (TensorContents.Entry entry : contents.entries()) {
            Tensor tensor = allocate(entry);
            Buffer whole = tensor.buffer();
            if (whole.length() > 0) {
                Buffer share = share(whole);
                group.receive(share, peer);
                if (share != whole) {
                    tensorGroup.orElseThrow().allGather(share, whole);
                }
            }
            tensors.put(entry.name(), tensor);
        }
        return Collections.unmodifiableMap(tensors);
    }

    /** {@link #receive(int)} from the previous rank of the group; the first one's previous is the last. */
    public Map<String, Tensor> receive() {
        return receive((group.rankInGroup() + group.size() - 1) % group.size());
    }

    /**
     * Copies {@code tensors} of {@code root} to all ranks; the others pass null.
     *
     * @return at the root its own tensors
     */
    public Map<String, Tensor> broadcast(@Nullable Map<String, Tensor> tensors, int root) {
        Map<String, Tensor> all = new LinkedHashMap<>();
        if (root == group.rankInGroup()) {
            Map<String, Tensor> given = required(tensors);
            group.broadcastObject(TensorContents.of(given, 1, 0), root, TensorContents.class);
            all.putAll(given);
        } else {
            TensorContents told = sound(group.broadcastObject(null, root, TensorContents.class), 1, 0, root);
            told.entries().forEach(entry -> all.put(entry.name(), allocate(entry)));
        }
        for (Tensor tensor : all.values()) {
            if (tensor.buffer().length() > 0) {
                group.broadcast(tensor.buffer().toHost(), root);
            }
        }
        return Collections.unmodifiableMap(all);
    }

    private static Map<String, Tensor> required(@Nullable Map<String, Tensor> tensors) {
        if (tensors == null) {
            throw new IllegalArgumentException("who sends a map of tensors gives it, not null");
        }
        return tensors;
    }

    private int pieces() {
        return tensorGroup.map(Communicator::size).orElse(1);
    }

    private int piece() {
        return tensorGroup.map(Communicator::rankInGroup).orElse(0);
    }

    /** What of a tensor this rank sends, or receives from its counterpart; the buffer itself if that is all of it. */
    private Buffer share(Buffer whole) {
        int pieces = pieces();
        if (pieces == 1 || whole.length() % pieces != 0) {
            return whole;
        }
        return Blocks.even(pieces, whole.length() / pieces).of(whole, piece());
    }

    private static Tensor allocate(TensorContents.Entry entry) {
        Shape shape = entry.shape();
        return new Tensor(HostBuffer.allocate(entry.type(), shape.elements()), shape);
    }

    /** {@code contents}, if tensors can be received by them; else nothing can follow in this group. */
    private TensorContents sound(TensorContents contents, int pieces, int piece, int peer) {
        LockstepException.Report wrong;
        try {
            contents.requireSound(limit);
            if (contents.pieces() == pieces && contents.piece() == piece) {
                return contents;
            }
            wrong = LockstepException.report(
                            ErrorCode.COLLECTIVE_MISMATCH,
                            "a map of tensors in " + group.group() + ": rank "
                                    + group.group().rank(peer) + " sends share " + contents.piece() + " of "
                                    + contents.pieces() + ", but rank "
                                    + group.group().rank(group.rankInGroup()) + " receives share " + piece + " of "
                                    + pieces)
                    .attempt("both ends must gather over tensor groups of one size, and have the same rank in them");
        } catch (IllegalArgumentException nonsense) {
            wrong = LockstepException.report(
                            ErrorCode.PROTOCOL,
                            "rank " + group.group().rank(peer) + " of " + group.group() + " sent "
                                    + nonsense.getMessage())
                    .attempt("TensorMaps.withLimit(bytes) if it is legitimately that large");
        }
        CommunicatorException failure = new CommunicatorException(wrong);
        group.abort(failure);
        throw failure;
    }
}
