package org.lockstep.cuda;

import java.io.Serializable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.topology.ProcessGroup;

/**
 * Whether groups exchange through device memory that their ranks reach by themselves. Immutable.
 *
 * @param use of it
 * @param limit bytes of an all-reduce that kernels do which wait for each other, 1 to {@link #MOST}
 */
public record PeerOptions(Use use, long limit) implements Serializable {
    /** That kernels can tell apart. */
    public static final long MOST = 16 << 20;

    /** Where the devices reach each other, up to the limit of vLLM's custom all-reduce, which is not measured here. */
    public static final PeerOptions DEFAULT = new PeerOptions(Use.AUTO, 8 << 20);

    /** Never. */
    public static final PeerOptions NONE = DEFAULT.withUse(Use.OFF);

    public PeerOptions {
        if (limit < 1 || limit > MOST) {
            throw new IllegalArgumentException(
                    "bytes of an all-reduce by kernels (" + limit + ") are not in 1.." + MOST);
        }
    }

    /** The same, used otherwise. */
    public PeerOptions withUse(Use other) {
        return new PeerOptions(other, limit);
    }

    /** The same up to another size. */
    public PeerOptions withLimit(long bytes) {
        return new PeerOptions(use, bytes);
    }

    /** How groups of ranks exchange, so many to a device, in a few words. */
    String describe(NcclOptions nccl, int ranksPerDevice) {
        String otherwise = nccl.describe(ranksPerDevice);
        String small =
                ranksPerDevice > 1 ? "" : "; all-reduces of up to " + limit + " bytes by kernels of our own where";
        return switch (use) {
            case ON ->
                "groups through each other's device memory"
                        + (small.isEmpty()
                                ? ""
                                : small + " ranks are of several JVMs, all else of those through the host");
            case OFF -> otherwise;
            case AUTO -> {
                boolean byNccl = nccl.isFor(ranksPerDevice);
                String most = byNccl
                        ? otherwise
                        : "groups through each other's device memory where ranks of one JVM reach it, else through the host";
                String joined = byNccl ? ", more than two by NVLink" : "";
                yield most + (small.isEmpty() ? "" : small + " devices of a host reach each other" + joined);
            }
        };
    }

    /**
     * That a group need not have it.
     *
     * @param why it cannot
     * @throws LockstepException NO_EFFECT where it is asked to
     */
    void requireOptional(ProcessGroup group, String why) {
        if (use == Use.ON) {
            throw LockstepException.report(
                            ErrorCode.NO_EFFECT,
                            "ranks of " + group + " cannot exchange through each other's device memory: " + why)
                    .attempt("spark.lockstep.gpu.peer=auto: such groups then exchange otherwise")
                    .exception();
        }
    }
}
