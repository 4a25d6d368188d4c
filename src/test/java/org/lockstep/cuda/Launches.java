package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import jcuda.NativePointerObject;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdevice_attribute;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUfunction;
import jcuda.driver.CUmodule;
import jcuda.driver.CUstream;
import jcuda.driver.JCudaDriver;

/**
 * The kernels of {@code src/main/cuda} called one by one through JCuda, each array an allocation of its own so that the
 * guards of the stand-in stand around it. Confined to one thread.
 */
final class Launches implements AutoCloseable {
    private final CUdevice device = new CUdevice();
    final CUstream stream = new CUstream();
    final boolean tensorCores; // that take bf16
    private final List<CUmodule> modules = new ArrayList<>();
    private final List<CUdeviceptr> arrays = new ArrayList<>();
    private final Map<String, CUfunction> functions = new HashMap<>();

    Launches() throws IOException {
        check(JCudaDriver.cuInit(0));
        check(JCudaDriver.cuDeviceGet(device, 0));
        CUcontext context = new CUcontext();
        check(JCudaDriver.cuDevicePrimaryCtxRetain(context, device));
        check(JCudaDriver.cuCtxSetCurrent(context));
        check(JCudaDriver.cuStreamCreate(stream, 1)); // not blocking
        int[] major = new int[1];
        check(JCudaDriver.cuDeviceGetAttribute(
                major, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device));
        tensorCores = major[0] >= 8;
        for (String name : List.of("rows", "sample", "product", "attention", "flash")) {
            if (name.equals("flash") && !tensorCores) {
                continue;
            }
            CUmodule module = new CUmodule();
            check(JCudaDriver.cuModuleLoadData(module, text(name)));
            modules.add(module);
        }
    }

    private static String text(String name) throws IOException {
        try (InputStream in = Launches.class.getResourceAsStream(name + ".ptx")) {
            return new String(Objects.requireNonNull(in, name).readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    static void check(int result) {
        assertThat(result).isZero();
    }

    /** So many bytes that nobody has written to. */
    CUdeviceptr room(long bytes) {
        CUdeviceptr made = new CUdeviceptr();
        check(JCudaDriver.cuMemAlloc(made, bytes));
        arrays.add(made);
        return made;
    }

    /** Gives arrays back before the others. */
    void free(CUdeviceptr... some) {
        for (CUdeviceptr array : some) {
            arrays.removeIf(kept -> kept == array);
            check(JCudaDriver.cuMemFree(array));
        }
    }

    CUdeviceptr of(float... values) {
        return uploaded(Pointer.to(values), 4L * values.length);
    }

    CUdeviceptr of(int... values) {
        return uploaded(Pointer.to(values), 4L * values.length);
    }

    CUdeviceptr of(short... values) {
        return uploaded(Pointer.to(values), 2L * values.length);
    }

    CUdeviceptr of(byte... values) {
        return uploaded(Pointer.to(values), values.length);
    }

    private CUdeviceptr uploaded(Pointer values, long bytes) {
        CUdeviceptr made = room(Math.max(1, bytes));
        check(JCudaDriver.cuMemcpyHtoD(made, values, bytes));
        return made;
    }

    void write(CUdeviceptr to, int... values) {
        check(JCudaDriver.cuMemcpyHtoD(to, Pointer.to(values), 4L * values.length));
    }

    /** What is there after everything that was launched. */
    float[] floats(CUdeviceptr from, int count) {
        float[] values = new float[count];
        check(JCudaDriver.cuStreamSynchronize(stream));
        check(JCudaDriver.cuMemcpyDtoH(Pointer.to(values), from, 4L * count));
        return values;
    }

    short[] shorts(CUdeviceptr from, int count) {
        short[] values = new short[count];
        check(JCudaDriver.cuStreamSynchronize(stream));
        check(JCudaDriver.cuMemcpyDtoH(Pointer.to(values), from, 2L * count));
        return values;
    }

    int[] ints(CUdeviceptr from, int count) {
        int[] values = new int[count];
        check(JCudaDriver.cuStreamSynchronize(stream));
        check(JCudaDriver.cuMemcpyDtoH(Pointer.to(values), from, 4L * count));
        return values;
    }

    /** Queues a kernel: arrays, null, ints, longs and floats in the order of its arguments. */
    void launch(String entry, int[] grid, int threads, Object... arguments) {
        check(launched(entry, grid, threads, arguments));
    }

    int launched(String entry, int[] grid, int threads, Object... arguments) {
        NativePointerObject[] values = new NativePointerObject[arguments.length];
        for (int i = 0; i < values.length; i++) {
            Object argument = arguments[i];
            if (argument instanceof CUdeviceptr array) {
                values[i] = Pointer.to(array);
            } else if (argument instanceof Integer number) {
                values[i] = Pointer.to(new int[] {number});
            } else if (argument instanceof Long number) {
                values[i] = Pointer.to(new long[] {number});
            } else if (argument instanceof Float number) {
                values[i] = Pointer.to(new float[] {number});
            } else {
                values[i] = Pointer.to(new long[] {0});
            }
        }
        return JCudaDriver.cuLaunchKernel(
                functions.computeIfAbsent(entry, this::function),
                grid[0],
                grid.length > 1 ? grid[1] : 1,
                grid.length > 2 ? grid[2] : 1,
                threads,
                1,
                1,
                0,
                stream,
                Pointer.to(values),
                null);
    }

    private CUfunction function(String entry) {
        CUfunction function = new CUfunction();
        for (CUmodule module : modules) {
            if (JCudaDriver.cuModuleGetFunction(function, module, entry) == 0) {
                return function;
            }
        }
        throw new IllegalArgumentException("no entry " + entry);
    }

    int synchronize() {
        return JCudaDriver.cuStreamSynchronize(stream);
    }

    /** And any fault with it, where the device is the stand-in's. */
    @Override
    public void close() {
        arrays.forEach(JCudaDriver::cuMemFree);
        modules.forEach(JCudaDriver::cuModuleUnload);
        JCudaDriver.cuStreamDestroy(stream);
        check(JCudaDriver.cuDevicePrimaryCtxRelease(device));
        if (StandIn.isLoaded()) {
            StandIn.require().renew();
        }
    }
}
