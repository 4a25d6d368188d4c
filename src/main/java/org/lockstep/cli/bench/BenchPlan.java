package org.lockstep.cli.bench;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.DataType;

/**
 * What every rank measures, the same on all of them. Immutable.
 *
 * @param operations in their order
 * @param sizes in bytes, as {@link Case#bytes}
 * @param type of the elements
 * @param kind of the reductions
 * @param root of the operations that have one
 * @param sides which of the two ways to call are measured
 * @param batches of timed calls for each case
 * @param batchNanos that a batch is aimed to take
 * @param calls of a batch; 0 for as many as fill {@link #batchNanos}
 * @param warmUps calls before a case is measured; -1 for as many as the JIT needs
 * @param check whether results are compared
 */
public record BenchPlan(
        List<Operation> operations,
        List<Long> sizes,
        DataType type,
        ReduceOp.Kind kind,
        int root,
        Sides sides,
        int batches,
        long batchNanos,
        int calls,
        int warmUps,
        boolean check)
        implements Serializable {

    /** Ranks whose results in floating types of 8 bits are compared at most: up to 8 every whole number is one of f8_e5m2. */
    public static final int MOST_OF_FP8 = 8;

    /** Which of an operation's two ways are measured. */
    public enum Sides {
        /** As nccl-tests: out of place, then in place where there is such a thing. */
        BOTH,

        /** As MPI has them: a broadcast in place, all others out of place. */
        AS_MPI
    }

    public BenchPlan {
        operations = List.copyOf(operations);
        sizes = List.copyOf(sizes);
    }

    /** All that is measured, in its order. */
    List<Case> cases() {
        List<Case> all = new ArrayList<>();
        for (Operation operation : operations) {
            for (long bytes : operation == Operation.BARRIER ? List.of(0L) : sizes) {
                if (sides == Sides.AS_MPI) {
                    all.add(new Case(operation, bytes, operation == Operation.BROADCAST));
                } else {
                    all.add(new Case(operation, bytes, false));
                    if (operation.hasInPlace()) {
                        all.add(new Case(operation, bytes, true));
                    }
                }
            }
        }
        return all;
    }

    ReduceOp reduceOp() {
        return new ReduceOp(kind, 1);
    }

    /** What a measurement reports as its size: in a comparison with others what was asked for, else what was moved. */
    long bytes(Case each, int ranks) {
        return sides == Sides.AS_MPI ? each.bytes() : (long) each.count(type, ranks) * type.bytes();
    }
}
