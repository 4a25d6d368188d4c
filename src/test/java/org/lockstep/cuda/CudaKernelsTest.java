package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.KernelsContract;
import org.lockstep.tensor.WeightType;

/** The contract of kernels on a GPU, and that nothing of a device is left. */
@HostCuda
class CudaKernelsTest {
    /** Every product by our own kernels: all that the contract promises of a CPU, to the bit. */
    @Nested
    class OfOurOwn extends KernelsContract {
        @Override
        protected Kernels create() {
            return CudaKernels.create(StandIn.devices().get(0), CudaOptions.DEFAULT.withCublas(CudaOptions.NO_CUBLAS));
        }

        @Override
        @AfterEach
        protected void close() {
            super.close();
            StandIn.assertNothingAllocated();
        }
    }

    /** The kernels' own memory and events too, not only what is of the arena. */
    @Test
    void nothingIsLeftWhereCublasHasNoRoom() {
        StandIn driver = StandIn.require();
        long events = driver.events();
        driver.setMemory(16 << 20); // half of what it asks for
        try {
            VisibleDevice device = StandIn.devices().get(0);
            assertThatThrownBy(() -> CudaKernels.create(device, CudaOptions.DEFAULT))
                    .hasMessageContaining("OUT_OF_MEMORY");
            assertThat(driver.events()).isEqualTo(events);
            assertThat(driver.allocations()).isZero();
        } finally {
            driver.setMemory(512 << 20);
        }
    }

    /** Products of more than eight tokens by a library, which rounds activations to the weight's type, and sums as it likes. */
    @Nested
    class WithCublas extends KernelsContract {
        @Override
        protected Kernels create() {
            return CudaKernels.create(StandIn.devices().get(0), CudaOptions.DEFAULT);
        }

        @Override
        protected double toleranceOfProducts(WeightType type) {
            return switch (type) {
                case F32, Q8 -> super.toleranceOfProducts(type);
                case BF16 -> 0x1p-8;
                case F16 -> 0x1p-11;
            };
        }

        @Override
        protected void assertSameSums(String what, WeightType type, float[] actual, float[] expected) {
            assertThat(actual).as(what).hasSameSizeAs(expected);
            double largest = 1;
            for (float each : expected) {
                largest = Math.max(largest, Math.abs(each));
            }
            for (int i = 0; i < actual.length; i++) {
                assertThat((double) Math.abs(actual[i] - expected[i]))
                        .as(what)
                        .isLessThanOrEqualTo(toleranceOfProducts(type) * largest);
            }
        }
    }
}
