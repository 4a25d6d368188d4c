package org.lockstep.benchmarks;

import java.util.Random;
import org.lockstep.cpu.CpuKernels;
import org.lockstep.cpu.VectorKernels;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;

/** What is compared, by the name that the benchmarks' parameter {@code form} has, and what it computes on. */
final class Forms {
    /** As a rank computes: with vectors once they have won their trial, in plain Java before and where they lose it. */
    static final String OURS = "cpu";

    /** With vectors whatever they cost: what falls off a cliff is seen here, for a rank then turns to plain Java. */
    static final String VECTORS = "vectors";

    static final String PLAIN = "plain";

    private Forms() {}

    /** Each on one thread: the check is of the code, not of the machine. */
    static Kernels kernels(String form) {
        return switch (form) {
            case OURS -> CpuKernels.create(1);
            case VECTORS -> VectorKernels.create();
            case PLAIN -> new PlainKernels();
            default -> throw new IllegalArgumentException("no form '" + form + "'");
        };
    }

    /** Numbers in ±1, the same for the same seed. */
    static HostBuffer random(int length, long seed) {
        Random random = new Random(seed);
        float[] values = new float[length];
        for (int i = 0; i < length; i++) {
            values[i] = 2 * random.nextFloat() - 1;
        }
        return Buffer.ofFloats(values);
    }
}
