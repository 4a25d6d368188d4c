package org.lockstep.spark.attempt;

import org.lockstep.LockstepException;

/** A run that ended before all its rows were done, of which rows are kept: a later run can go on with the rest. */
public final class UnfinishedRunException extends LockstepException {
    private static final long serialVersionUID = 1;

    private final String checkpointDir;
    private final long committed;
    private final long rows;

    UnfinishedRunException(Report report, String checkpointDir, long committed, long rows) {
        super(report);
        this.checkpointDir = checkpointDir;
        this.committed = committed;
        this.rows = rows;
    }

    /** Where the rows are kept. */
    public String checkpointDir() {
        return checkpointDir;
    }

    /** How many are kept; -1 if the directory could not be read when the run ended. */
    public long committed() {
        return committed;
    }

    /** How many there are in all. */
    public long rows() {
        return rows;
    }
}
