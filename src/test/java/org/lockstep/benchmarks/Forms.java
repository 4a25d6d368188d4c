package org.lockstep.benchmarks;

import java.util.Random;
import org.lockstep.cpu.CpuKernels;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;

/** What is compared, by the name that the benchmarks' parameter {@code form} has, and what it computes on. */
final class Forms {
    static final String OURS = "cpu";
    static final String PLAIN = "plain";

    private Forms() {}

    /** Either on one thread: the check is of the code, not of the machine. */
    static Kernels kernels(String form) {
        return switch (form) {
            case OURS -> CpuKernels.create(1);
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
