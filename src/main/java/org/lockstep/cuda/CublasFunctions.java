package org.lockstep.cuda;

/**
 * The functions of cuBLAS that are used, mapped directly: pointers and handles are their numbers. They belong to the process:
 * it has one cuBLAS. The names are NVIDIA's.
 */
final class CublasFunctions {
    private CublasFunctions() {}

    static native int cublasCreate_v2(long handle);

    static native int cublasDestroy_v2(long handle);

    static native int cublasGetVersion_v2(long handle, long version);

    static native int cublasSetStream_v2(long handle, long stream);

    static native int cublasSetMathMode(long handle, int mode);

    static native int cublasSetWorkspace_v2(long handle, long workspace, long bytes);

    static native int cublasGemmEx(
            long handle,
            int transposeA,
            int transposeB,
            int m,
            int n,
            int k,
            long alpha,
            long a,
            int typeA,
            int strideA,
            long b,
            int typeB,
            int strideB,
            long beta,
            long c,
            int typeC,
            int strideC,
            int computeType,
            int algorithm);
}
