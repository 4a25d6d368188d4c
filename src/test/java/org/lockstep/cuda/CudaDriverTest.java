package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.LockstepException;

/** What a process finds, each in one of its own: what was loaded stays. */
@Timeout(120)
@HostCuda
class CudaDriverTest {
    /** Tells what it finds, from several threads at once, and once more where nothing could be unpacked any more. */
    static final class Look {
        public static void main(String[] args) throws InterruptedException {
            List<Thread> threads = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                threads.add(new Thread(CudaDriver::create));
            }
            threads.forEach(Thread::start);
            for (Thread thread : threads) {
                thread.join();
            }
            System.setProperty("java.io.tmpdir", "/no/such/folder");
            CudaDriver driver = CudaDriver.create();
            System.out.println(driver);
            try {
                driver.verifyEnabled();
                System.out.println("enabled");
            } catch (LockstepException e) {
                System.out.println(e.getMessage());
            }
        }
    }

    private static String look(Path folder, Map<String, String> environment) throws IOException, InterruptedException {
        return look(folder, System.getProperty("java.class.path"), environment);
    }

    private static String look(Path folder, String classPath, Map<String, String> environment)
            throws IOException, InterruptedException {
        Path log = folder.resolve("log");
        ProcessBuilder builder = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Djava.io.tmpdir=" + Files.createDirectories(folder.resolve("tmp")),
                        "-cp",
                        classPath,
                        Look.class.getName())
                .redirectErrorStream(true)
                .redirectOutput(log.toFile());
        builder.environment().remove("LD_LIBRARY_PATH");
        builder.environment().putAll(environment);
        Process process = builder.start();
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        String said = Files.readString(log);
        assertThat(process.exitValue()).as(said).isZero();
        return said;
    }

    private static Map<String, String> standIn(String... more) {
        StandIn.require();
        String path = System.getenv("LD_LIBRARY_PATH");
        return more.length == 0 ? Map.of("LD_LIBRARY_PATH", path) : Map.of("LD_LIBRARY_PATH", path, more[0], more[1]);
    }

    @Test
    void withoutNativesItNamesTheJarThatHasThem(@TempDir Path folder) throws Exception {
        String thin = Stream.of(System.getProperty("java.class.path").split(File.pathSeparator))
                .filter(entry -> !entry.contains("jcuda-natives"))
                .collect(Collectors.joining(File.pathSeparator));

        assertThat(look(folder, thin, standIn()))
                .contains("LOCKSTEP-5004 NO_LIBRARY  JCuda's native library does not load")
                .contains("lockstep-…-cuda-linux-x86_64.jar")
                .contains("--device cpu")
                .doesNotContain("enabled");
    }

    @Test
    void withoutADriverItSaysWhereItLooked(@TempDir Path folder) throws Exception {
        StandIn.require(); // where it is real the system's loader finds it without being told where
        assertThat(look(folder, Map.of("LD_LIBRARY_PATH", folder.toString())))
                .contains(
                        "LOCKSTEP-5002 NO_DEVICE  there is no CUDA driver: libcuda.so.1 is neither in LD_LIBRARY_PATH ("
                                + folder + ")")
                .contains("--device cpu")
                .doesNotContain("enabled");
    }

    @Test
    void aDriverWithoutADeviceShowsNone(@TempDir Path folder) throws Exception {
        assertThat(look(folder, standIn("LOCKSTEP_CUDA_DEVICES", "0")))
                .contains("LOCKSTEP-5002 NO_DEVICE  the driver (CUDA 13.0) shows no device: CUDA_ERROR_NO_DEVICE (100)")
                .contains("CUDA_VISIBLE_DEVICES is not set");
    }

    @Test
    void anOldDriverIsNamedWithWhatIsNeeded(@TempDir Path folder) throws Exception {
        assertThat(look(folder, standIn("LOCKSTEP_CUDA_DRIVER", "11080")))
                .contains("LOCKSTEP-5003 OLD_DRIVER  the driver is made for CUDA 11.8, at least 12.0 (driver 525)");
    }

    @Test
    void devicesAreFoundAndNothingIsLeftOfTheUnpacking(@TempDir Path folder) throws Exception {
        assertThat(look(folder, standIn("LOCKSTEP_CUDA_DEVICES", "2")))
                .contains("CUDA 13.0, 0: ")
                .contains("; 1: ")
                .contains("GPU-")
                .endsWith("enabled\n");
        try (var left = Files.list(folder.resolve("tmp"))) {
            assertThat(left.filter(file -> isOfJCuda(file))).isEmpty();
        }
    }

    private static boolean isOfJCuda(Path file) { // lockstep-jcuda-…, libJCudaDriver-….so
        return file.getFileName().toString().toLowerCase(Locale.ROOT).contains("jcuda");
    }

    @Test
    void aSliceIsNamedByTheListItIsVisibleBy() {
        UUID slice = UUID.fromString("8f2c1b5e-0000-4000-8000-000000000001");
        assertThat(CudaDriver.slice("GPU-x, MIG-" + slice, 1)).contains(slice);
        assertThat(CudaDriver.slice("GPU-x, MIG-" + slice, 0)).isEqualTo(Optional.empty());
        assertThat(CudaDriver.slice("MIG-GPU-8f2c1b5e/1/0", 0)).isEqualTo(Optional.empty());
        assertThat(CudaDriver.slice(null, 0)).isEqualTo(Optional.empty());
    }
}
