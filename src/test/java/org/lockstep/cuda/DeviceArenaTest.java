package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.LockstepException;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

@HostCuda
class DeviceArenaTest {
    private static final long MIB = 1 << 20;

    private final CudaDevice device = CudaDevice.open(StandIn.devices().get(0));
    private final DeviceArena arena = DeviceArena.create(device, 64 * MIB);

    @AfterEach
    void nothingIsLeft() {
        arena.close();
        arena.close();
        device.close();
        StandIn.assertNothingAllocated();
    }

    @Test
    void whatIsGivenBackIsUsedAgainWithoutTheDriver() {
        arena.allocate(1000).close();
        long held = arena.held();
        Map<Long, Long> before = device.memory();
        Random random = new Random(3);
        List<DeviceArena.Block> blocks = new ArrayList<>();
        for (int i = 0; i < 2000; i++) {
            if (blocks.size() > 20) {
                blocks.remove(random.nextInt(blocks.size())).close();
            }
            blocks.add(arena.allocate(random.nextInt(200_000)));
        }
        blocks.forEach(DeviceArena.Block::close);
        assertThat(device.memory()).isEqualTo(before);
        assertThat(arena.held()).isEqualTo(held);
        // neighbours were joined: all of it is one hole again
        assertThat(arena.allocate(held).address()).isNotZero();
        assertThat(arena.held()).isEqualTo(held);
    }

    @Test
    void blocksAreApartAndAligned() {
        List<DeviceBuffer> buffers = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            DeviceBuffer buffer = DeviceBuffer.allocate(arena, DataType.I32, 1 + 37L * i);
            int[] values = new int[1 + 37 * i];
            Arrays.fill(values, i);
            buffer.copyFrom(HostBuffer.of(DataType.I32, values));
            assertThat(buffer.address() % 256).isZero();
            buffers.add(buffer);
        }
        for (int i = 0; i < 50; i++) {
            assertThat(buffers.get(i).toHost().toInts()).containsOnly(i).hasSize(1 + 37 * i);
        }
    }

    @Test
    void aLargeBlockGoesBackToTheDriver() {
        long held = arena.held();
        DeviceArena.Block large = arena.allocate(30 * MIB);
        assertThat(arena.held()).isEqualTo(held + 30 * MIB);
        large.close();
        large.close();
        assertThat(arena.held()).isEqualTo(held);
    }

    @Test
    @FaultCase("F58")
    void beyondTheBudgetIsSaidWithNeedAndHave() {
        arena.allocate(40 * MIB);
        assertThatThrownBy(() -> arena.allocate(30 * MIB))
                .isInstanceOf(LockstepException.class)
                .hasMessageContaining("LOCKSTEP-5001 OUT_OF_MEMORY")
                .hasMessageContaining("needs 31,457,280 bytes more")
                .hasMessageContaining("holds 41,943,040 of the 67,108,864 that it may");
        assertThat(arena.available()).isEqualTo(24 * MIB);
        assertThat(arena.allocate(24 * MIB).address())
                .as("what is left can be had")
                .isNotZero();
    }

    /** The driver and NCCL take theirs when a graph is made or ranks first exchange: the cache has its memory by then. */
    @Test
    void someOfTheDeviceIsLeftToTheDriverWhoeverElseHasTheRest() {
        long spare = CudaOptions.spare(device.seen());
        assertThat(spare).isPositive();
        for (double part : new double[] {0.5, 1}) {
            assertThat(CudaOptions.DEFAULT.withMemoryUtilization(part).budget(device.seen()))
                    .isEqualTo(Math.min(
                            (long) (part * device.seen().bytes()), device.seen().bytes() - spare));
        }
        StandIn driver = StandIn.require();
        driver.setMemory(spare + 20 * MIB); // others have the rest
        try {
            assertThat(arena.available()).isEqualTo(20 * MIB);
            arena.allocate(20 * MIB);
            assertThat(arena.available()).isZero();
            assertThat(device.free()).isEqualTo(spare);
        } finally {
            driver.setMemory(device.seen().bytes());
        }
    }

    @Test
    void aDriverThatHasNoneIsSaidToo() {
        StandIn driver = StandIn.require();
        driver.refuseAllocationAfter(0);
        try {
            assertThatThrownBy(() -> arena.allocate(MIB))
                    .isInstanceOfSatisfying(
                            LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.OUT_OF_MEMORY));
        } finally {
            driver.refuseAllocationAfter(-1);
        }
    }

    @Test
    void aBufferIsNotUsedAfterItWasClosed() {
        DeviceBuffer buffer = DeviceBuffer.allocate(arena, DataType.F32, 8);
        Buffer part = buffer.slice(2, 3);
        part.close(); // a view's end is nobody's
        buffer.copyFrom(Buffer.ofFloats(0, 1, 2, 3, 4, 5, 6, 7));
        assertThat(part.toHost().toFloats()).containsExactly(2, 3, 4);
        buffer.close();
        buffer.close();
        assertThatThrownBy(part::toHost)
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("closed");
        assertThatThrownBy(() -> buffer.slice(1, 8)).isInstanceOf(IndexOutOfBoundsException.class);
    }

    @Test
    void allTypesTravelThereAndBackInSlicesOfPinnedMemory() {
        Random random = new Random(5);
        for (DataType type : DataType.values()) {
            int length = type == DataType.F32 ? 3 * Staging.slice(type) + 17 : 1001;
            HostBuffer there = HostBuffer.allocate(type, length);
            byte[] noise = new byte[length * type.bytes()];
            random.nextBytes(noise);
            ByteBuffer bytes = ByteBuffer.wrap(noise);
            switch (type) {
                case F64 -> bytes.asDoubleBuffer().get(there.doubles());
                case F32 -> bytes.asFloatBuffer().get(there.floats());
                case BF16, F16 -> bytes.asShortBuffer().get(there.shorts());
                case I64 -> bytes.asLongBuffer().get(there.longs());
                case I32 -> bytes.asIntBuffer().get(there.ints());
                case I8, U8, F8_E4M3, F8_E5M2 -> bytes.get(there.byteArray());
            }
            DeviceBuffer buffer = DeviceBuffer.allocate(arena, type, length);
            buffer.copyFrom(there);
            assertThat(buffer.toHost().array()).as("%s", type).isEqualTo(there.array());
            assertThat(buffer.slice(5, 100).toHost().get(7)).isEqualTo(there.get(12));
            buffer.close();
        }
    }
}
