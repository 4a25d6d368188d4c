package org.lockstep.transport;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.ControlPlane;
import org.lockstep.collective.Roster;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ProcessGroup;

/** One rank's line at the switchboard of its JVM. Thread-safe. */
final class Extension implements ControlPlane {
    private final Switchboard board;
    private final Roster roster;
    private final int rank;
    private final ProcessGroup world;
    private final AtomicBoolean closed = new AtomicBoolean();

    Extension(Switchboard board, Roster roster, int rank) {
        this.board = board;
        this.roster = roster;
        this.rank = rank;
        this.world = roster.grid().group(GroupKind.WORLD, rank).orElseThrow();
    }

    @Override
    public void serve(int port, Service service) {
        requirePort(port);
        requireOpen("serve");
        board.serve(rank, port, service);
    }

    @Override
    public void retire(int port) {
        board.retire(rank, port);
    }

    @Override
    public CompletableFuture<byte[]> call(int to, int port, byte[] question) {
        requirePort(port);
        if (!world.contains(to)) {
            throw new IllegalArgumentException("there is no rank " + to + " in " + world);
        }
        if (question.length > MAX_BYTES) {
            throw new IllegalArgumentException(
                    "a question of " + question.length + " bytes is longer than " + MAX_BYTES);
        }
        String operation = "call of rank " + to;
        requireOpen(operation);
        boolean here = roster.hello(to).venue() == roster.hello(rank).venue();
        return board.call(
                rank, to, here, port, question, verdict -> verdict.exception(operation, world, roster::describe));
    }

    private static void requirePort(int port) {
        if (port < 0 || port >= PORTS) {
            throw new IllegalArgumentException("port " + port + " is not in 0.." + (PORTS - 1));
        }
    }

    private void requireOpen(String operation) {
        if (closed.get()) {
            throw new CommunicatorException(LockstepException.report(
                    ErrorCode.COMMUNICATOR_CLOSED, operation + " in " + world + " after close"));
        }
    }

    /** The rank leaves: it asks and answers no more. Idempotent. */
    void close() {
        if (closed.compareAndSet(false, true)) {
            board.leave(rank);
        }
    }
}
