package org.lockstep.spark.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.LockstepException;
import org.lockstep.collective.Identity;
import org.lockstep.cuda.VisibleDevice;

/** Every form of address, whatever the order of devices. */
class GpuAssignmentTest {
    private static final String A = "GPU-aaaaaaaa-0000-4000-8000-000000000000";
    private static final String B = "GPU-bbbbbbbb-0000-4000-8000-000000000000";
    private static final String C = "GPU-cccccccc-0000-4000-8000-000000000000";

    /** CUDA's order, fastest first: not that of the bus. */
    private static final List<VisibleDevice> SEEN = List.of(
            device(0, A, "00000000:3B:00.0"), device(1, B, "00000000:1A:00.0"), device(2, C, "00000001:00:00.0"));

    private static VisibleDevice device(int ordinal, String uuid, String bus) {
        return new VisibleDevice(ordinal, "a GPU", Identity.Gpu.parse(uuid, bus), 1L << 30, "9.0");
    }

    private static GpuAssignment given(@Nullable String visible, String... addresses) {
        return new GpuAssignment(List.of(addresses), visible, OptionalInt.empty());
    }

    @ParameterizedTest
    @CsvSource({
        // an index without a list of visible devices is nvidia-smi's: by the bus
        "0, , 1",
        "1, , 0",
        "2, , 2",
        // with one it counts what the process sees
        "0, '5,3,7', 0",
        "1, '5,3,7', 1",
        "GPU-bbbbbbbb-0000-4000-8000-000000000000, , 1",
        "GPU-BBBBBBBB-0000-4000-8000-000000000000, '5,3,7', 1",
        "GPU-cccc, , 2",
        "00000000:3B:00.0, , 0",
        "0000:3b:00.0, , 0",
        "1a:00, , 1",
        "00000001:00:00.0, , 2",
        "MIG-dddddddd-0000-4000-8000-000000000000, 'GPU-aaaaaaaa,MIG-dddddddd-0000-4000-8000-000000000000', 1",
    })
    @FaultCase("F52")
    void anAddressIsFoundAmongWhatIsSeen(String address, @Nullable String visible, int ordinal) {
        assertThat(given(visible, address).among(SEEN).ordinal()).isEqualTo(ordinal);
    }

    @ParameterizedTest
    @CsvSource({
        "3, ",
        "3, '5,3,7'",
        "GPU-eeeeeeee-0000-4000-8000-000000000000, ",
        "MIG-dddddddd-0000-4000-8000-000000000000, ",
        "00000000:99:00.0, ",
        "cuda:0, ",
        "GPU-, ",
    })
    @FaultCase("F52")
    void whatCannotBeFoundIsAnErrorThatListsWhatWasSeen(String address, @Nullable String visible) {
        assertThatThrownBy(() -> given(visible, address).among(SEEN))
                .isInstanceOfSatisfying(LockstepException.class, e -> {
                    assertThat(e.code()).isEqualTo(ErrorCode.NO_DEVICE);
                    assertThat(e.getMessage())
                            .contains("'" + address + "'")
                            .contains(A, B, C)
                            .contains(visible == null ? "CUDA_VISIBLE_DEVICES is not set" : visible);
                });
    }

    @ParameterizedTest
    @CsvSource({"0, 0", "1, 1", "2, 2", "3, 0", "7, 1"})
    void tasksOfALocalMasterTakeTheDevicesInTurn(int task, int ordinal) {
        assertThat(new GpuAssignment(List.of(), null, OptionalInt.of(task))
                        .among(SEEN)
                        .ordinal())
                .isEqualTo(ordinal);
    }

    @ParameterizedTest
    @CsvSource({"1", "2"})
    void aTaskOfAClusterWithoutAGpuTakesTheOnlyOneOrNone(int devices) {
        List<VisibleDevice> seen = SEEN.subList(0, devices);
        if (devices == 1) {
            assertThat(given(null).among(seen)).isEqualTo(seen.get(0));
        } else {
            assertThatThrownBy(() -> given(null).among(seen))
                    .isInstanceOf(LockstepException.class)
                    .hasMessageContaining("spark.task.resource.gpu.amount=1");
        }
    }

    @Test
    void aRankDrivesOneDevice() {
        assertThatThrownBy(() -> given(null, "0", "1").among(SEEN))
                .isInstanceOf(LockstepException.class)
                .hasMessageContaining("given 2 GPUs [0, 1], a rank drives one");
    }
}
