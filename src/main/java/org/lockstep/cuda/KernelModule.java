package org.lockstep.cuda;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import jcuda.NativePointerObject;
import jcuda.Pointer;
import jcuda.driver.CUfunction;
import jcuda.driver.CUmodule;
import jcuda.driver.CUstream;
import jcuda.driver.JCudaDriver;

/**
 * The kernels of {@code src/main/cuda}, compiled by the driver for one rank's device. A launch makes no garbage but what
 * JCuda does. Confined to one thread at a time.
 */
final class KernelModule implements AutoCloseable {
    private static final Pattern ENTRY = Pattern.compile("\\.visible \\.entry (\\w+)\\(");
    private static final int MOST_ARGUMENTS = 24;
    private static final int SLOT = 8; // bytes; no argument is larger

    private final CudaDevice device;
    private final List<CUmodule> modules;
    private final Map<String, CUfunction> functions;
    private final Pinned memory;
    private final boolean paced;
    private final ByteBuffer values;
    private final Pointer[] parameters = new Pointer[MOST_ARGUMENTS + 1]; // by their number
    private int count;

    private KernelModule(
            CudaDevice device,
            List<CUmodule> modules,
            Map<String, CUfunction> functions,
            Pinned memory,
            boolean paced) {
        this.device = device;
        this.modules = modules;
        this.functions = functions;
        this.memory = memory;
        this.paced = paced;
        this.values = memory.bytes();
        for (int n = 0; n <= MOST_ARGUMENTS; n++) {
            NativePointerObject[] slots = new NativePointerObject[n];
            for (int i = 0; i < n; i++) {
                slots[i] = Raw.host(memory.address() + (long) i * SLOT);
            }
            parameters[n] = Pointer.to(slots);
        }
    }

    /** Those of a decoder, whose launches wait where the device is far behind ({@link Backlog#await}). */
    static KernelModule decoder(CudaDevice device) {
        List<String> sources = new ArrayList<>(List.of("rows", "sample", "product", "attention"));
        if (device.seen().hasBf16TensorCores()) {
            sources.add("flash");
        }
        return load(device, sources, true);
    }

    /**
     * Loads those of some sources; the first time on a machine the driver compiles them, and keeps the result. Each is loaded whole:
     * else its first launch did that, for which the driver may wait for all that the device was given. A launch never waits: it may be
     * made with what is held.
     *
     * @param sources names without the ending
     */
    static KernelModule load(CudaDevice device, List<String> sources) {
        return load(device, sources, false);
    }

    private static KernelModule load(CudaDevice device, List<String> sources, boolean paced) {
        device.enter();
        List<CUmodule> modules = new ArrayList<>();
        Map<String, CUfunction> functions = new HashMap<>();
        boolean made = false;
        try {
            for (String source : sources) {
                CUmodule module = new CUmodule();
                byte[] text = text(source);
                CudaError.check(JCudaDriver.cuModuleLoadData(module, text), "cuModuleLoadData of " + source);
                modules.add(module);
                ENTRY.matcher(new String(text, StandardCharsets.US_ASCII))
                        .results()
                        .map(entry -> entry.group(1))
                        .forEach(entry -> functions.put(entry, function(module, entry)));
            }
            KernelModule all = new KernelModule(
                    device, modules, Map.copyOf(functions), Pinned.allocate(device, MOST_ARGUMENTS * SLOT), paced);
            made = true;
            return all;
        } finally {
            if (!made) {
                modules.forEach(JCudaDriver::cuModuleUnload);
            }
        }
    }

    /** PTX as the driver wants it, ended by a zero. */
    private static byte[] text(String source) {
        String name = source + ".ptx";
        try (InputStream in = KernelModule.class.getResourceAsStream(name)) {
            if (in == null) {
                throw new IllegalStateException("the kernels are not in this jar: no " + name);
            }
            byte[] text = in.readAllBytes();
            return Arrays.copyOf(text, text.length + 1);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Begins a launch: its arguments follow, in their order. */
    KernelModule with() {
        count = 0;
        return this;
    }

    /** An address, or 0 for null. */
    KernelModule pointer(long address) {
        values.putLong(SLOT * count++, address);
        return this;
    }

    KernelModule number(int value) {
        values.putInt(SLOT * count++, value);
        return this;
    }

    KernelModule wide(long value) {
        values.putLong(SLOT * count++, value);
        return this;
    }

    KernelModule real(float value) {
        values.putFloat(SLOT * count++, value);
        return this;
    }

    /** Queues {@code entry} over a row of blocks; none are nothing to do. */
    void launch(String entry, int blocks, int threads) {
        launch(entry, blocks, 1, 1, threads);
    }

    /** The same in a stream beside the rank's. */
    void launch(String entry, int blocks, int threads, CUstream stream) {
        launch(entry, blocks, 1, 1, threads, stream);
    }

    void launch(String entry, int x, int y, int z, int threads) {
        launch(entry, x, y, z, threads, device.stream());
    }

    private void launch(String entry, int x, int y, int z, int threads, CUstream stream) {
        if (x == 0 || y == 0 || z == 0) {
            return;
        }
        CudaError.check(
                JCudaDriver.cuLaunchKernel(function(entry), x, y, z, threads, 1, 1, 0, stream, parameters[count], null),
                entry);
        if (stream.equals(device.stream())) {
            device.backlog().add(entry);
            if (paced) {
                device.backlog().await();
            }
        }
    }

    private static CUfunction function(CUmodule module, String entry) {
        CUfunction function = new CUfunction();
        CudaError.check(JCudaDriver.cuModuleGetFunction(function, module, entry), "cuModuleGetFunction of " + entry);
        return function;
    }

    private CUfunction function(String entry) {
        CUfunction function = functions.get(entry);
        if (function == null) {
            throw new IllegalStateException("the kernels have no entry " + entry);
        }
        return function;
    }

    /** The device must be done with them. */
    @Override
    public void close() {
        device.enter();
        List<Runnable> all = new ArrayList<>();
        all.add(memory::close);
        modules.forEach(module -> all.add(() -> CudaError.check(JCudaDriver.cuModuleUnload(module), "cuModuleUnload")));
        Release.all(all);
    }
}
