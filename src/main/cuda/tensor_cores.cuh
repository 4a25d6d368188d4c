// What a warp does with tensor cores, and on the way to them (PTX ISA: mma, ldmatrix, cp.async); from compute capability 8.0 on.
//
// `lane / 4` is called quad, `lane % 4` side. In registers of two 16-bit elements each, the first in the low half,
//   of a (16 × 16, rows by k)       a lane has rows quad and quad + 8, k of 2 · side and 2 · side + 8 and the one after each;
//   of b (16 × 8, k by columns)     k likewise, of column quad;
//   of the sum (16 × 8), f32        rows quad and quad + 8, columns 2 · side and 2 · side + 1.
#pragma once

#include "numeric.cuh"

template <typename T>
static __device__ __forceinline__ unsigned pair(float first, float second);

#ifndef __CUDACC__
#include "tensor_cores.hpp" // of the stand-in on the host, src/test/cuda
#else
template <>
__device__ __forceinline__ unsigned pair<bf16>(float first, float second) {
    const __nv_bfloat162 both = __floats2bfloat162_rn(first, second);
    return *reinterpret_cast<const unsigned*>(&both);
}

template <>
__device__ __forceinline__ unsigned pair<f16>(float first, float second) {
    const __half2 both = __floats2half2_rn(first, second);
    return *reinterpret_cast<const unsigned*>(&both);
}

/** sum += a · b. a: rows quad and quad + 8 of k from 2 · side, then the two of k from 2 · side + 8. b: k from 2 · side, then + 8. */
static __device__ __forceinline__ void multiply_add(
    float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, const bf16*) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

static __device__ __forceinline__ void multiply_add(
    float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, const f16*) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/**
 * Four 8 × 8 matrices of 16-bit elements from shared memory, of which lanes 8i to 8i + 7 point to the rows of matrix i, each
 * aligned for 16 bytes: of each matrix a lane gets elements 2 · side and the one after of row quad.
 */
static __device__ __forceinline__ void load_matrices(unsigned (&out)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
                 : "memory");
}

/** The same, transposed: a lane gets rows 2 · side and the one after of column quad. */
static __device__ __forceinline__ void load_transposed(unsigned (&out)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
                 : "memory");
}

/** Begins to copy 16 bytes from global to shared memory, both aligned for them; zeros, and nothing is read, where there are none. */
static __device__ __forceinline__ void begin_copy(void* to, const void* from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(to))), "l"(__cvta_generic_to_global(from)), "r"(there ? 16 : 0)
                 : "memory");
}

/** Waits for the copies that this thread began; others see them after a barrier. */
static __device__ __forceinline__ void await_copies() { asm volatile("cp.async.wait_all;" : : : "memory"); }
#endif
