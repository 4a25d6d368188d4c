package org.lockstep.cuda;

import java.nio.ByteBuffer;
import java.util.List;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.tensor.WeightType;

/**
 * A rank's handle of cuBLAS, on its stream. Products of f32 are computed in f32, never in TF32. Confined to one thread at a
 * time.
 */
final class Cublas implements AutoCloseable {
    private static final int NO_TRANSPOSE = 0; // CUBLAS_OP_N
    private static final int TRANSPOSE = 1; // CUBLAS_OP_T
    private static final int REAL_32F = 0; // CUDA_R_32F
    private static final int REAL_16F = 2; // CUDA_R_16F
    private static final int REAL_16BF = 14; // CUDA_R_16BF
    private static final int COMPUTE_32F = 68; // CUBLAS_COMPUTE_32F
    private static final int COMPUTE_32F_PEDANTIC = 69; // CUBLAS_COMPUTE_32F_PEDANTIC
    private static final int DEFAULT_MATH = 0; // CUBLAS_DEFAULT_MATH
    private static final int DEFAULT_ALGORITHM = -1; // CUBLAS_GEMM_DEFAULT
    private static final long WORKSPACE = 32L << 20; // what NVIDIA advises for Hopper

    private static final int HANDLE = 0; // offsets in the pinned memory
    private static final int VERSION = 8;
    private static final int ONE = 16;
    private static final int ZERO = 20;

    private final CublasLibrary library;
    private final CudaDevice device;
    private final Pinned memory;
    private final DeviceArena.Block workspace;
    private final long handle;

    private Cublas(CublasLibrary library, CudaDevice device, Pinned memory, DeviceArena.Block workspace, long handle) {
        this.library = library;
        this.device = device;
        this.memory = memory;
        this.workspace = workspace;
        this.handle = handle;
    }

    /** A handle with a workspace of its own, so that no call allocates. */
    static Cublas create(CublasLibrary library, CudaDevice device, DeviceArena arena) {
        device.enter();
        DeviceArena.Block workspace = arena.allocate(WORKSPACE);
        Pinned memory = Pinned.allocate(device, 32);
        ByteBuffer bytes = memory.bytes();
        long handle = 0;
        boolean ready = false;
        try {
            bytes.putFloat(ONE, 1).putFloat(ZERO, 0);
            check(CublasFunctions.cublasCreate_v2(memory.address() + HANDLE), "cublasCreate", library);
            handle = bytes.getLong(HANDLE);
            Cublas made = new Cublas(library, device, memory, workspace, handle);
            made.check(CublasFunctions.cublasSetStream_v2(handle, Raw.handle(device.stream())), "cublasSetStream");
            made.check(
                    CublasFunctions.cublasSetWorkspace_v2(handle, workspace.address(), WORKSPACE),
                    "cublasSetWorkspace");
            made.check(CublasFunctions.cublasSetMathMode(handle, DEFAULT_MATH), "cublasSetMathMode");
            ready = true;
            return made;
        } finally {
            if (!ready) {
                if (handle != 0) {
                    CublasFunctions.cublasDestroy_v2(handle); // what it says adds nothing to the failure
                }
                memory.close();
            }
        }
    }

    /** For example 13.1.0. */
    String version() {
        check(CublasFunctions.cublasGetVersion_v2(handle, memory.address() + VERSION), "cublasGetVersion");
        int version = memory.bytes().getInt(VERSION);
        return version / 10_000 + "." + version % 10_000 / 100 + "." + version % 100;
    }

    /**
     * {@code out = x · weightᵀ}, everything row-major, which to cuBLAS, whose matrices are column-major, is outᵀ = weight · xᵀ.
     *
     * @param weight (rows, columns) of {@code type}
     * @param x (tokens, columns) of {@code type}
     * @param out (tokens, rows), f32
     */
    void multiply(WeightType type, long weight, long x, long out, int tokens, int rows, int columns) {
        int real = switch (type) {
            case F32 -> REAL_32F;
            case BF16 -> REAL_16BF;
            case F16 -> REAL_16F;
            case Q8 -> throw new IllegalArgumentException("cuBLAS has no product of " + type);
        };
        check(
                CublasFunctions.cublasGemmEx(
                        handle,
                        TRANSPOSE,
                        NO_TRANSPOSE,
                        rows,
                        tokens,
                        columns,
                        memory.address() + ONE,
                        weight,
                        real,
                        columns,
                        x,
                        real,
                        columns,
                        memory.address() + ZERO,
                        out,
                        REAL_32F,
                        rows,
                        type == WeightType.F32 ? COMPUTE_32F_PEDANTIC : COMPUTE_32F,
                        DEFAULT_ALGORITHM),
                "cublasGemmEx (" + tokens + ", " + columns + ") × (" + rows + ", " + columns + ")ᵀ " + type);
        device.backlog().add("cublasGemmEx");
        device.backlog().await();
    }

    private void check(int status, String call) {
        check(status, call, library);
    }

    private static void check(int status, String call, CublasLibrary library) {
        if (status != 0) {
            throw LockstepException.report(
                            status == 3
                                    ? ErrorCode.OUT_OF_MEMORY
                                    : ErrorCode.DEVICE_FAULT, // CUBLAS_STATUS_ALLOC_FAILED
                            call + " of " + library + ": status " + status)
                    .attempt(
                            "look up cublasStatus_t; 1 is a driver that cannot be used, 15 a type that it does not support")
                    .exception();
        }
    }

    /** The workspace goes with the arena. */
    @Override
    public void close() {
        device.enter();
        Release.all(List.of(
                () -> check(CublasFunctions.cublasDestroy_v2(handle), "cublasDestroy"),
                workspace::close,
                memory::close));
    }

    @Override
    public String toString() {
        return "cuBLAS " + version() + " (" + library + ")";
    }
}
