package org.lockstep.cuda;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.sun.jna.NativeLibrary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * A CUDA driver and a cuBLAS on the host, made from {@code src/test/cuda} where there is a g++: what JCuda and JNA load in the
 * place of NVIDIA's. Tests that need it are skipped aloud elsewhere.
 */
public final class StandIn {
    private final NativeLibrary driver;

    private StandIn(NativeLibrary driver) {
        this.driver = driver;
    }

    /** Makes it if need be, and finds it as the process finds libraries. */
    public static StandIn require() {
        String path = System.getenv("LD_LIBRARY_PATH");
        assumeTrue(
                path != null && path.endsWith("cuda"), "the tests of CUDA need -Dcuda.libraries, as the pom sets it");
        assumeTrue(hasCompiler(), "no g++: the tests of CUDA need it for their stand-in");
        make(Path.of(path));
        return new StandIn(NativeLibrary.getInstance("libcuda.so.1"));
    }

    private static boolean hasCompiler() {
        return Stream.of(System.getenv("PATH").split(":", -1))
                .anyMatch(folder -> Files.isExecutable(Path.of(folder, "g++")));
    }

    private static synchronized void make(Path folder) {
        try {
            Files.createDirectories(folder);
            Path log = folder.resolve("build.log");
            Process build = new ProcessBuilder("bash", "src/test/cuda/build.sh", folder.toString())
                    .redirectErrorStream(true)
                    .redirectOutput(log.toFile())
                    .start();
            if (!build.waitFor(5, TimeUnit.MINUTES) || build.exitValue() != 0) {
                build.destroyForcibly();
                throw new IllegalStateException("the stand-in does not compile:\n" + Files.readString(log));
            }
        } catch (IOException e) {
            throw new IllegalStateException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
    }

    /** Its one device, as the probe finds it. */
    public VisibleDevice device() {
        CudaDriver found = CudaDriver.create();
        found.verifyEnabled();
        return found.devices().get(0);
    }

    /** The devices that it shows: one, unless the environment says otherwise. */
    public List<VisibleDevice> devices() {
        return CudaDriver.create().devices();
    }

    /** Allocations of the first device that nobody has freed. */
    public long allocations() {
        return driver.getFunction("standin_allocations").invokeLong(new Object[] {0});
    }

    /** Kernels that ran so far in this process. */
    public long launches() {
        return driver.getFunction("standin_launches").invokeLong(new Object[0]);
    }

    /** Refuses the allocation after so many more; -1 for none. */
    public void refuseAllocationAfter(long allocations) {
        driver.getFunction("standin_refuse_allocation").invokeInt(new Object[] {allocations});
    }

    /** Lets the launch after so many more end in a fault that stays; -1 for none. */
    public void failLaunchAfter(long launches, int error) {
        driver.getFunction("standin_fail_launch").invokeInt(new Object[] {launches, error});
    }

    /** Memory of each device from now on. */
    public void setMemory(long bytes) {
        driver.getFunction("standin_set_memory").invokeInt(new Object[] {bytes});
    }
}
