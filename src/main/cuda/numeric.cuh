// What the kernels share: the types of weights and caches, sums over a warp, the running softmax.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

#define ALL_LANES 0xffffffffu

using bf16 = __nv_bfloat16;
using f16 = __half;

static __device__ __forceinline__ float widen(float x) { return x; }
static __device__ __forceinline__ float widen(bf16 x) { return __bfloat162float(x); }
static __device__ __forceinline__ float widen(f16 x) { return __half2float(x); }

/** To nearest, ties to even. */
template <typename T>
static __device__ __forceinline__ T narrow(float x);
template <>
__device__ __forceinline__ float narrow<float>(float x) { return x; }
template <>
__device__ __forceinline__ bf16 narrow<bf16>(float x) { return __float2bfloat16_rn(x); }
template <>
__device__ __forceinline__ f16 narrow<f16>(float x) { return __float2half_rn(x); }

/** Whether 16 bytes can be loaded at once from a pointer and every stride of so many elements after it. */
template <typename T>
static __device__ __forceinline__ bool is_wide(const T* p, int64_t stride) {
    return ((reinterpret_cast<uintptr_t>(p) | static_cast<uintptr_t>(stride * sizeof(T))) & 15) == 0;
}

/** Whether a `To` can be loaded at once from where a pointer points. */
template <typename To>
static __device__ __forceinline__ bool is_aligned(const void* p) {
    return reinterpret_cast<uintptr_t>(p) % alignof(To) == 0;
}

// The elements of 16 bytes, as floats.

static __device__ __forceinline__ void unpack(uint4 raw, const float*, float (&out)[4]) {
    out[0] = __uint_as_float(raw.x);
    out[1] = __uint_as_float(raw.y);
    out[2] = __uint_as_float(raw.z);
    out[3] = __uint_as_float(raw.w);
}

static __device__ __forceinline__ void unpack(uint4 raw, const bf16*, float (&out)[8]) {
    const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        out[2 * i] = __uint_as_float(words[i] << 16);
        out[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
}

static __device__ __forceinline__ void unpack(uint4 raw, const f16*, float (&out)[8]) {
    const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        out[2 * i] = __half2float(__ushort_as_half(static_cast<unsigned short>(words[i] & 0xffffu)));
        out[2 * i + 1] = __half2float(__ushort_as_half(static_cast<unsigned short>(words[i] >> 16)));
    }
}

static __device__ __forceinline__ void unpack(uint4 raw, const int8_t*, float (&out)[16]) {
    const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 16; i++) {
        out[i] = static_cast<float>(static_cast<int8_t>(words[i / 4] >> (8 * (i % 4))));
    }
}

/** The sum over a warp, in every lane. */
template <typename T>
static __device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        x += __shfl_xor_sync(ALL_LANES, x, distance);
    }
    return x;
}

static __device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, distance));
    }
    return x;
}

/**
 * The sums of N values over a warp: lane l gets that of value l / (32 / N), with the bits of `warp_sum`, as the lanes are added
 * in the same pairs. Each step halves the values that a lane still carries.
 */
template <int N>
static __device__ __forceinline__ float warp_sums(float (&values)[N]) {
    const int lane = threadIdx.x % 32;
    int distance = 16;
#pragma unroll
    for (int n = N / 2; n > 0; n /= 2, distance /= 2) {
        const bool upper = (lane & distance) != 0;
#pragma unroll
        for (int i = 0; i < n; i++) {
            const float given = upper ? values[i] : values[i + n];
            values[i] = (upper ? values[i + n] : values[i]) + __shfl_xor_sync(ALL_LANES, given, distance);
        }
    }
#pragma unroll
    for (; distance > 0; distance /= 2) {
        values[0] += __shfl_xor_sync(ALL_LANES, values[0], distance);
    }
    return values[0];
}

/** Sums of segments on their way to one, added as a balanced tree (Kernels.linear): at most one waits at each level. */
struct SegmentSum {
    static const int LEVELS = 6; // at most 63 segments
    float waiting[LEVELS];

    /** Takes the sum of segment `s` in, after those before it. */
    __device__ __forceinline__ void add(int s, float sum) {
        bool open = true;
#pragma unroll
        for (int level = 0; level < LEVELS; level++) { // as many are whole as s, in binary, ends in ones
            if (open && (s >> level & 1) != 0) {
                sum = waiting[level] + sum;
            } else if (open) {
                waiting[level] = sum;
                open = false;
            }
        }
    }

    __device__ __forceinline__ float total(int segments) const {
        float sum = 0.0f;
        bool begun = false;
#pragma unroll
        for (int level = 0; level < LEVELS; level++) {
            if ((segments >> level & 1) != 0) {
                sum = begun ? waiting[level] + sum : waiting[level];
                begun = true;
            }
        }
        return sum;
    }
};
