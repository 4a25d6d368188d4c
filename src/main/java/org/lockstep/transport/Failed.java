package org.lockstep.transport;

/** An operation failed; the communicator makes an exception of it. */
public final class Failed extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final transient Verdict verdict;

    public Failed(Verdict verdict) {
        super(verdict.text(), verdict.cause(), false, false);
        this.verdict = verdict;
    }

    public Verdict verdict() {
        return verdict;
    }
}
