package org.lockstep.cuda;

import java.io.Serializable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.topology.ProcessGroup;

/**
 * Whether groups exchange through device memory that their ranks reach by themselves. Immutable.
 *
 * @param use of it
 */
public record PeerOptions(Use use) implements Serializable {
    /** Where the devices reach each other. */
    public static final PeerOptions DEFAULT = new PeerOptions(Use.AUTO);

    /** Never. */
    public static final PeerOptions NONE = new PeerOptions(Use.OFF);

    /** The same, used otherwise. */
    public PeerOptions withUse(Use other) {
        return new PeerOptions(other);
    }

    /** How groups of ranks exchange, so many to a device, in a few words. */
    String describe(NcclOptions nccl, int ranksPerDevice) {
        String otherwise = nccl.describe(ranksPerDevice);
        return switch (use) {
            case ON -> "groups through each other's device memory";
            case OFF -> otherwise;
            case AUTO ->
                nccl.isFor(ranksPerDevice)
                        ? otherwise
                        : "groups through each other's device memory where ranks of one JVM reach it, else through the"
                                + " host";
        };
    }

    /** Throws if a group that cannot have it is asked to. */
    void requireOptional(ProcessGroup group, boolean oneJvm) {
        if (use == Use.ON) {
            throw LockstepException.report(
                            ErrorCode.NO_EFFECT,
                            "ranks of " + group + " cannot exchange through each other's device memory: "
                                    + (oneJvm
                                            ? "a device does not reach another's, or they are more than "
                                                    + PeerReduction.MOST
                                            : "they are in several JVMs"))
                    .attempt("spark.lockstep.gpu.peer=auto: such groups then exchange otherwise")
                    .exception();
        }
    }
}
