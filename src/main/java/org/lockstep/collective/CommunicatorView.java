package org.lockstep.collective;

import java.util.function.Consumer;
import org.lockstep.topology.ProcessGroup;

/** A communicator on other terms: its own are the operations, all else is the other's. Threads: as the other. */
final class CommunicatorView extends Operations {
    private final GuardedCommunicator real;
    private final OperationTerms terms;

    CommunicatorView(GuardedCommunicator real, OperationTerms terms) {
        this.real = real;
        this.terms = terms;
    }

    @Override
    GuardedCommunicator real() {
        return real;
    }

    @Override
    protected OperationTerms terms() {
        return terms;
    }

    @Override
    public ProcessGroup group() {
        return real.group();
    }

    @Override
    public int rankInGroup() {
        return real.rankInGroup();
    }

    @Override
    public Work async(Consumer<? super Communicator> operations) {
        return real.async(operations, this);
    }

    @Override
    public boolean isRecordable() {
        return real.isRecordable();
    }

    @Override
    public Flight flight() {
        return real.flight();
    }

    @Override
    public void close() {
        real.close();
    }

    @Override
    public void abort(Throwable cause) {
        real.abort(cause);
    }
}
