package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.cuda.NcclLibrary.Capability;
import org.lockstep.tensor.DataType;

@HostCuda
class NcclLibraryTest {
    @Test
    void aPathIsTriedAloneAndTheReasonGiven(@TempDir Path folder) {
        Path nothing = folder.resolve("libnccl.so.2");
        assertThatThrownBy(() -> NcclLibrary.open(Optional.of(nothing.toString()), Map.of()))
                .isInstanceOfSatisfying(LockstepException.class, e -> {
                    assertThat(e.code()).isEqualTo(ErrorCode.NO_LIBRARY);
                    assertThat(e.summary()).contains(nothing.toString()).doesNotContain(";");
                    assertThat(e.advice()).contains("LOCKSTEP_NCCL");
                });
        assertThatThrownBy(() -> NcclLibrary.open(Optional.empty(), Map.of(NcclLibrary.VARIABLE, folder + "/other.so")))
                .hasMessageContaining("other.so");
    }

    @Test
    void aLibraryThatLacksAFunctionIsRefusedByItsName() {
        assertThatThrownBy(() -> NcclLibrary.open(Optional.of("libcuda.so.1"), Map.of()))
                .isInstanceOf(LockstepException.class)
                .hasMessageContaining("NO_LIBRARY")
                .hasMessageContaining("nccl")
                .hasMessageContaining("libcuda.so.1");
    }

    @Test
    void oneAddressForAllCommunicatorsOfAProcessIsRefused() {
        assertThatThrownBy(() -> NcclLibrary.open(Optional.empty(), Map.of("NCCL_COMM_ID", "10.0.0.1:4711")))
                .isInstanceOf(LockstepException.class)
                .hasMessageContaining("NCCL_COMM_ID=10.0.0.1:4711")
                .hasMessageContaining("unset NCCL_COMM_ID");
    }

    @Test
    void callsThatWaitInsideAreRefused() {
        assertThatThrownBy(() -> NcclLibrary.open(Optional.empty(), Map.of("NCCL_COMM_BLOCKING", "1")))
                .isInstanceOf(LockstepException.class)
                .hasMessageContaining("NCCL_COMM_BLOCKING=1 lets NCCL's calls wait")
                .hasMessageContaining("unset NCCL_COMM_BLOCKING");
        StandInNccl.require();
        assertThat(NcclLibrary.open(Optional.empty(), Map.of("NCCL_COMM_BLOCKING", "0")))
                .isNotNull();
    }

    @Test
    void packagesOfAPythonAreSearchedAfterThePlainName(@TempDir Path folder) throws IOException {
        Path twelve = folder.resolve("lib/python3.12/site-packages/nvidia/nccl/lib/libnccl.so.2");
        Files.createDirectories(twelve.getParent());
        Files.createFile(twelve);
        assertThat(NcclLibrary.candidates(Map.of("VIRTUAL_ENV", folder.toString(), "HOME", "/nowhere")))
                .startsWith("libnccl.so.2")
                .contains(twelve.toString())
                .endsWith("libnccl.so");
    }

    @Test
    void theStandInTellsItsVersionAndLacksWhatItLacks() {
        StandInNccl.require();
        NcclLibrary library = NcclLibrary.open(Optional.empty(), Map.of());
        assertThat(library).hasToString("NCCL 2.28.0 (libnccl.so.2)");
        assertThat(library.capabilities()).doesNotContain(Capability.SHRINK, Capability.ALL_TO_ALL);
        assertThat(library.newId()).isNotEqualTo(library.newId());
    }

    @Test
    void aTrafficClassNeedsALibraryThatHasIt() {
        StandInNccl nccl = StandInNccl.require();
        NcclOptions options = new NcclOptions(Use.AUTO, null, Map.of(), Map.of("tp", 0), false, false, false);
        try {
            nccl.setVersion(22_602);
            assertThat(options.find(1, Map.of())).isPresent();
            nccl.setVersion(22_507);
            assertThat(NcclOptions.DEFAULT.find(1, Map.of())).isPresent();
            assertThatThrownBy(() -> options.find(1, Map.of())).isInstanceOfSatisfying(LockstepException.class, e -> {
                assertThat(e.code()).isEqualTo(ErrorCode.NO_EFFECT);
                assertThat(e.summary())
                        .contains("NCCL 2.25.7 (libnccl.so.2) has no traffic class for each communicator")
                        .contains("2.26.0");
                assertThat(e.advice()).contains("no traffic class");
            });
        } finally {
            nccl.setVersion(22_800);
        }
    }

    @Test
    void memoryIsRegisteredByALibraryThatCan() {
        StandInNccl.require();
        NcclOptions options = new NcclOptions(Use.ON, null, Map.of(), Map.of(), false, true, false);
        assertThat(options.find(1, Map.of())).isPresent();
        assertThat(options.describe(1)).isEqualTo("groups by NCCL from registered memory");
        NcclLibrary old = new NcclLibrary("libnccl.so.2", NcclLibrary.OLDEST, Set.of(Capability.SPLIT));
        assertThatThrownBy(old::requireRegister).isInstanceOfSatisfying(LockstepException.class, e -> {
            assertThat(e.code()).isEqualTo(ErrorCode.NO_EFFECT);
            assertThat(e.summary()).contains("NCCL 2.18.0 (libnccl.so.2) cannot register memory, as 2.19 can");
        });
    }

    @Test
    void eightBitNumbersAreReducedOnDevicesThatNcclHasKernelsFor() {
        NcclLibrary library = new NcclLibrary("libnccl.so.2", NcclLibrary.FP8, Set.of());
        assertThatThrownBy(() -> library.requireFp8(DataType.F8_E5M2, 8, "a device of Ada"))
                .hasMessageContaining("on a device of Ada, reduces no f8_e5m2");
        library.requireFp8(DataType.F8_E5M2, 9, "a device of Hopper");
    }

    /** As far as a real library goes without a device; of a file, so that the stand-in of this process is another. */
    @Test
    void aRealLibraryTellsItsVersionItsWordsAndAnId() {
        String real = System.getenv("LOCKSTEP_NCCL_REAL");
        assumeTrue(real != null, "LOCKSTEP_NCCL_REAL is not set: no real libnccl.so.2 to load");
        try {
            NcclLibrary library = NcclLibrary.open(Optional.of(real), Map.of());
            assertThat(library.version()).isGreaterThanOrEqualTo(NcclLibrary.OLDEST);
            assertThat(library.capabilities()).contains(Capability.SPLIT);
            assertThat(library.newId()).isNotEqualTo(library.newId());
            assertThat(NcclResult.exception(5, "ncclAllReduce").summary()).contains("invalid usage");
        } finally {
            NcclLibrary.open(
                    Optional.of("libnccl.so.2"), Map.of()); // the process has one NCCL: that of the other tests
        }
    }
}
