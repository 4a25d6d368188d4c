package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Set;
import org.apache.spark.SparkConf;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.ErrorCode;
import org.lockstep.cuda.HostCuda;
import org.lockstep.spark.preflight.Finding;
import org.lockstep.spark.preflight.Machine;
import org.lockstep.spark.preflight.MachineFindings;
import org.lockstep.spark.preflight.MachineLook;
import org.lockstep.spark.settings.DeviceChoice;

/** A machine with a device, real or the stand-in. */
@Timeout(120)
@HostCuda
class DoctorOnCudaTest {
    @Test
    void theDeviceAndItsLibrariesAreFound() {
        Machine here = MachineLook.here("driver", new SparkConf(false), null);
        assertThat(here.gpu().lacks()).isNull();
        assertThat(here.gpu().devices()).isNotEmpty();
        assertThat(here.gpu().hasCublas()).as(here.gpu().cublas()).isTrue();
        assertThat(MachineFindings.of(List.of(here), new MachineFindings.Want(1, DeviceChoice.CUDA, Set.of())))
                .extracting(Finding::sentence)
                .anySatisfy(sentence -> assertThat(sentence).startsWith("CUDA "))
                .anySatisfy(sentence -> assertThat(sentence).startsWith("cuBLAS: "));
    }

    @Test
    void aLibraryThatDoesNotLoadIsNamedWithWhatWasTried() {
        SparkConf conf = new SparkConf(false).set("spark.lockstep.gpu.cublas", "/no/such/libcublas.so.13");
        Machine here = MachineLook.here("driver", conf, null);
        assertThat(MachineFindings.of(List.of(here), new MachineFindings.Want(1, DeviceChoice.CUDA, Set.of())))
                .filteredOn(finding -> finding.level() == Finding.Level.FAIL)
                .singleElement()
                .satisfies(finding -> {
                    assertThat(finding.code()).isEqualTo(ErrorCode.NO_LIBRARY);
                    assertThat(finding.sentence()).contains("/no/such/libcublas.so.13");
                });
    }
}
