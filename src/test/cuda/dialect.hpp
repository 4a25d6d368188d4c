// CUDA C++ as g++ understands it: what the kernels' sources use of it, no more. Included before each of them (-include).
//
// The threads of a block are fibres (threads.hpp), one after the other on the caller's thread; shared memory is a section of
// this library. Blocks come one by one, so a kernel that needs two blocks at once would hang here: it is a bug there too.
// Only where all threads of a block pause() for another kernel's, that one has its turn.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "threads.hpp"

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __shared__ static __attribute__((section("cuda_shared")))

#define threadIdx (standin::thread_index())
#define blockIdx (standin::block_index())
#define blockDim (standin::block_size())
#define gridDim (standin::grid_size())

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

struct alignas(16) float4 {
    float x, y, z, w;
};

using std::max;
using std::min;
using std::signbit;

inline float __uint_as_float(unsigned bits) {
    float x;
    std::memcpy(&x, &bits, sizeof(x));
    return x;
}

inline unsigned __float_as_uint(float x) {
    unsigned bits;
    std::memcpy(&bits, &x, sizeof(bits));
    return bits;
}

inline double __longlong_as_double(long long bits) {
    double x;
    std::memcpy(&x, &bits, sizeof(x));
    return x;
}

inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }

/** Of shared memory, where fibres take turns. */
inline unsigned atomicAdd(unsigned* to, unsigned value) {
    const unsigned before = *to;
    *to = before + value;
    return before;
}

inline void __syncthreads() { standin::block_barrier(0); }
inline int __syncthreads_or(int predicate) { return standin::block_barrier(predicate); }

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int distance) {
    return standin::shuffle(mask, value, [=](int lane) { return lane ^ distance; });
}

template <typename T>
T __shfl_down_sync(unsigned mask, T value, int distance) {
    return standin::shuffle(mask, value, [=](int lane) { return lane + distance < 32 ? lane + distance : lane; });
}

template <typename T>
T __shfl_up_sync(unsigned mask, T value, int distance) {
    return standin::shuffle(mask, value, [=](int lane) { return lane < distance ? lane : lane - distance; });
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int source) {
    return standin::shuffle(mask, value, [=](int) { return source & 31; });
}
