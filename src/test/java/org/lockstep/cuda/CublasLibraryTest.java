package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

@HostCuda
class CublasLibraryTest {
    @Test
    void aPathIsTriedAloneAndTheReasonGiven(@TempDir Path folder) {
        Path nothing = folder.resolve("libcublas.so.13");
        assertThatThrownBy(() -> CublasLibrary.open(Optional.of(nothing.toString()), Map.of()))
                .isInstanceOfSatisfying(LockstepException.class, e -> {
                    assertThat(e.code()).isEqualTo(ErrorCode.NO_LIBRARY);
                    assertThat(e.summary()).contains(nothing.toString()).doesNotContain(";");
                    assertThat(e.advice()).contains("spark.lockstep.gpu.cublas").contains("LOCKSTEP_CUBLAS");
                });
    }

    @Test
    void aLibraryThatLacksAFunctionIsRefusedByItsName() {
        CublasLibrary.open(Optional.empty(), System.getenv());
        assertThatThrownBy(() -> CublasLibrary.open(Optional.of("libcuda.so.1"), Map.of()))
                .isInstanceOf(LockstepException.class)
                .hasMessageContaining("NO_LIBRARY")
                .hasMessageContaining("cublas")
                .hasMessageContaining("libcuda.so.1");
        CublasLibrary.open(Optional.empty(), System.getenv()); // and the one that was bound still is
    }

    @Test
    void theEnvironmentIsAskedAfterTheConfiguration(@TempDir Path folder) {
        Map<String, String> environment = Map.of(CublasLibrary.VARIABLE, folder + "/of-the-environment.so");
        assertThatThrownBy(() -> CublasLibrary.open(Optional.empty(), environment))
                .hasMessageContaining("of-the-environment.so");
        assertThatThrownBy(() -> CublasLibrary.open(Optional.of(folder + "/given.so"), environment))
                .hasMessageContaining("given.so")
                .message()
                .doesNotContain("of-the-environment");
    }

    @Test
    void packagesOfAPythonAreSearchedAfterPlainNames(@TempDir Path folder) throws IOException {
        Path thirteen = folder.resolve("lib/python3.12/site-packages/nvidia/cu13/lib/libcublas.so.13");
        Path twelve = folder.resolve("lib/python3.9/site-packages/nvidia/cublas/lib/libcublas.so.12");
        for (Path file : new Path[] {thirteen, twelve}) {
            Files.createDirectories(file.getParent());
            Files.createFile(file);
        }
        assertThat(CublasLibrary.candidates(Map.of("VIRTUAL_ENV", folder.toString(), "HOME", "/nowhere")))
                .startsWith("libcublas.so.13", "libcublas.so.12")
                .containsSubsequence(thirteen.toString(), twelve.toString());
        assertThat(LibrarySearch.expand(folder, "lib/python3*/site-packages/nvidia/cu14/x"))
                .isEmpty();
    }
}
