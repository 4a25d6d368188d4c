package org.lockstep.cuda;

import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import jcuda.JCudaVersion;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdevice_attribute;
import jcuda.driver.CUuuid;
import jcuda.driver.JCudaDriver;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Identity;

/**
 * What CUDA there is for this process: the driver and its devices, or the reason why there are none. Immutable.
 *
 * <p>Looking does no harm where there is no driver: what fails to load is an answer here, not an error of linking. Devices
 * are those of the first look that found any: a driver that comes later needs another process.
 */
public final class CudaDriver {
    /** CUDA 12.0, driver 525: what JCuda and the kernels' PTX are made for. */
    static final int OLDEST = 12_000;

    private static final String LIBRARY = "libcuda.so.1";
    private static final String JCUDA = "jcuda.driver.JCudaDriver";

    /** In the jar of the classifier {@code cuda-linux-x86_64}, and in {@code -all}. */
    private static final String JCUDA_NATIVE = "/lib/libJCudaDriver-" + JCudaVersion.get() + "-linux-x86_64.so";

    /** What needs no driver. */
    private static final String INSTEAD = "--device cpu (bench of groups: --backend host)";

    private static final String VISIBLE = "CUDA_VISIBLE_DEVICES";

    private final int version;
    private final List<VisibleDevice> devices;
    private final Optional<LockstepException.Report> refusal;

    private CudaDriver(int version, List<VisibleDevice> devices, Optional<LockstepException.Report> refusal) {
        this.version = version;
        this.devices = List.copyOf(devices);
        this.refusal = refusal;
    }

    /** Loads what there is and looks. */
    public static CudaDriver create() {
        Optional<NativeLibrary> library;
        try {
            library = find();
        } catch (LinkageError e) {
            return refused(noLibrary("JNA", e));
        }
        if (library.isEmpty()) {
            return refused(LockstepException.report(
                            ErrorCode.NO_DEVICE,
                            "there is no CUDA driver: " + LIBRARY + " is neither in LD_LIBRARY_PATH ("
                                    + Optional.ofNullable(System.getenv("LD_LIBRARY_PATH"))
                                            .orElse("not set")
                                    + ") nor where the system's loader looks")
                    .attempt(INSTEAD + ", or install NVIDIA's driver, 525 or newer"));
        }
        int[] version = new int[1];
        CudaError.check(call(library.get(), "cuDriverGetVersion", version), "cuDriverGetVersion");
        if (version[0] < OLDEST) {
            return refused(LockstepException.report(
                            ErrorCode.OLD_DRIVER,
                            "the driver is made for CUDA " + name(version[0]) + ", at least " + name(OLDEST)
                                    + " (driver 525) is needed")
                    .attempt(INSTEAD + ", or a newer driver"));
        }
        int started = call(library.get(), "cuInit", 0);
        int[] count = new int[1];
        int counted = started == 0 ? call(library.get(), "cuDeviceGetCount", count) : started;
        if (counted != 0 || count[0] == 0) {
            return refused(LockstepException.report(
                            ErrorCode.NO_DEVICE,
                            "the driver (CUDA " + name(version[0]) + ") shows no device: " + CudaError.name(counted)
                                    + ", " + visible())
                    .attempt(INSTEAD + ", or give this process a device (nvidia-smi -L lists them)"));
        }
        Optional<Throwable> failure = JCuda.FAILURE;
        return failure.isPresent() ? refused(noLibrary("JCuda", failure.get())) : look(version[0], count[0]);
    }

    /**
     * The driver's library, by JNA: where JCuda's class is initialised without it, it fails, and does so for the rest of the
     * process.
     *
     * @throws LinkageError if JNA itself does not load
     */
    private static Optional<NativeLibrary> find() {
        int bytes = Native.POINTER_SIZE; // the first use of JNA
        try {
            return bytes == Long.BYTES ? Optional.of(NativeLibrary.getInstance(LIBRARY)) : Optional.empty();
        } catch (UnsatisfiedLinkError notThere) {
            return Optional.empty();
        }
    }

    private static int call(NativeLibrary library, String function, Object... arguments) {
        return library.getFunction(function).invokeInt(arguments);
    }

    private static LockstepException.Report noLibrary(String binding, Throwable why) {
        return LockstepException.report(
                        ErrorCode.NO_LIBRARY,
                        binding + "'s native library does not load on " + System.getProperty("os.name") + " "
                                + System.getProperty("os.arch") + ": " + why.getMessage())
                .attempt(
                        CudaDriver.class.getResource(JCUDA_NATIVE) == null
                                ? INSTEAD
                                        + "; the thin jar has no natives of CUDA: beside it (--jars) needs to stand the one"
                                        + " of the classifier cuda-linux-x86_64, lockstep-…-cuda-linux-x86_64.jar, or instead"
                                        + " of it the -all jar, which has them"
                                : INSTEAD
                                        + "; CUDA needs Linux on x86-64, and a java.io.tmpdir to write to and execute from")
                .cause(why);
    }

    private static CudaDriver look(int version, int count) {
        CudaError.check(JCudaDriver.cuInit(0), "cuInit");
        List<VisibleDevice> devices = new ArrayList<>();
        for (int ordinal = 0; ordinal < count; ordinal++) {
            devices.add(device(ordinal));
        }
        return new CudaDriver(version, devices, Optional.empty());
    }

    private static VisibleDevice device(int ordinal) {
        CUdevice device = new CUdevice();
        CudaError.check(JCudaDriver.cuDeviceGet(device, ordinal), "cuDeviceGet");
        byte[] name = new byte[256];
        CudaError.check(JCudaDriver.cuDeviceGetName(name, name.length, device), "cuDeviceGetName");
        long[] bytes = new long[1];
        CudaError.check(JCudaDriver.cuDeviceTotalMem(bytes, device), "cuDeviceTotalMem");
        CUuuid uuid = new CUuuid();
        CudaError.check(JCudaDriver.cuDeviceGetUuid(uuid, device), "cuDeviceGetUuid");
        String called = new String(name, StandardCharsets.UTF_8).trim();
        int nul = called.indexOf(0);
        int domain = attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID, device);
        int bus = attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, device);
        int slot = attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID, device);
        Optional<UUID> slice = slice(System.getenv(VISIBLE), ordinal);
        ByteBuffer halves = ByteBuffer.wrap(uuid.bytes);
        UUID whole = new UUID(halves.getLong(), halves.getLong());
        return new VisibleDevice(
                ordinal,
                nul < 0 ? called : called.substring(0, nul),
                new Identity.Gpu(slice.orElse(whole), slice.isPresent(), domain, bus, slot),
                bytes[0],
                attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device) + "."
                        + attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device));
    }

    /** A slice (MIG) has the uuid of its whole GPU from the driver; its own is in the list by which it is visible. */
    static Optional<UUID> slice(@Nullable String visible, int ordinal) {
        String[] entries = visible == null ? new String[0] : visible.split(",", -1);
        String entry = ordinal < entries.length ? entries[ordinal].trim() : "";
        if (!entry.startsWith("MIG-")) {
            return Optional.empty();
        }
        try {
            return Optional.of(UUID.fromString(entry.substring(4)));
        } catch (IllegalArgumentException olderForm) {
            return Optional.empty();
        }
    }

    private static int attribute(int which, CUdevice device) {
        int[] value = new int[1];
        CudaError.check(JCudaDriver.cuDeviceGetAttribute(value, which, device), "cuDeviceGetAttribute");
        return value[0];
    }

    /**
     * JCuda's class, initialised with this one, once a process: it unpacks its native library to {@code java.io.tmpdir} under a
     * fixed name, not atomically, and takes what it finds there, so that two processes that start at once can crash each
     * other. Each has a folder of its own for that moment; what is mapped needs no file any more.
     */
    private static final class JCuda {
        /** Why it does not load, which stays so for the rest of the process. */
        static final Optional<Throwable> FAILURE = load();

        private JCuda() {}

        private static Optional<Throwable> load() {
            String property = "java.io.tmpdir";
            String before = System.getProperty(property);
            try {
                Path folder = Files.createTempDirectory("lockstep-jcuda-");
                try {
                    System.setProperty(property, folder.toString());
                    Class.forName(JCUDA, true, CudaDriver.class.getClassLoader());
                } finally {
                    System.setProperty(property, before);
                    delete(folder);
                }
                return Optional.empty();
            } catch (ClassNotFoundException e) {
                return Optional.of(new NoClassDefFoundError(JCUDA + " is not on the class path"));
            } catch (IOException e) {
                return Optional.of(
                        new UncheckedIOException("no folder in " + before + " to unpack it to: " + e.getMessage(), e));
            } catch (LinkageError e) {
                return Optional.of(e);
            }
        }

        private static void delete(Path folder) throws IOException {
            try (Stream<Path> files = Files.list(folder)) {
                for (Path file : files.toList()) {
                    Files.delete(file);
                }
            }
            Files.delete(folder);
        }
    }

    private static CudaDriver refused(LockstepException.Report why) {
        return new CudaDriver(0, List.of(), Optional.of(why));
    }

    /** Whether there is a device. */
    public boolean isEnabled() {
        return refusal.isEmpty();
    }

    /**
     * Requires a device.
     *
     * @throws LockstepException NO_DEVICE, OLD_DRIVER or NO_LIBRARY: what was looked for where, and was not there
     */
    public void verifyEnabled() {
        if (refusal.isPresent()) {
            throw refusal.get().exception();
        }
    }

    /** The devices that this process sees, by ordinal; none where {@link #isEnabled} is false. */
    public List<VisibleDevice> devices() {
        return devices;
    }

    /** What joins the devices that this process sees, in a few words; empty where they are fewer than two. */
    public String links() {
        return devices.size() < 2
                ? ""
                : Nvml.notJoined(devices.stream().map(VisibleDevice::gpu).toList(), System.getenv())
                        .orElse("NVLink joins all of them");
    }

    /** What there is, in a line; where there is nothing, why. */
    @Override
    public String toString() {
        return refusal.map(why -> why.exception().summary())
                .orElseGet(() -> "CUDA " + name(version) + ", "
                        + devices.stream().map(VisibleDevice::toString).collect(Collectors.joining("; ")));
    }

    private static String visible() {
        String list = System.getenv(VISIBLE);
        return VISIBLE + (list == null ? " is not set" : "=" + list);
    }

    /** 12040 is 12.4. */
    private static String name(int version) {
        return version / 1000 + "." + version % 1000 / 10;
    }
}
