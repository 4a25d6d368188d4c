// Reductions over the ranks of a group whose memory this device reaches. Bit-equal with those of the host (cpu.Reduction): ranks
// are joined as a balanced tree, floating elements of 16 and 8 bits widened to f32 and rounded once, integers of 8 bits as int32; integers wrap; a result
// that is not a number is the canonical NaN.

#pragma once

#include "fp8.cuh"
#include "numeric.cuh"

template <>
__device__ __forceinline__ e4m3 narrow<e4m3>(float x) { return to_e4m3(x); }
template <>
__device__ __forceinline__ e5m2 narrow<e5m2>(float x) { return to_e5m2(x); }

/** What one rank brings: its elements, and by what they are multiplied first. */
struct Source {
    const void* elements;
    double factor;
};

/** Numbers of PeerReduction.java. */
enum Join { SUM = 0, PRODUCT = 1, MIN = 2, MAX = 3, SCALED_SUM = 4 };

/** As what elements of T are joined. */
template <typename T>
struct Lane {
    using Type = float;
};
template <>
struct Lane<double> {
    using Type = double;
};
template <>
struct Lane<int64_t> {
    using Type = int64_t;
};
template <>
struct Lane<int32_t> {
    using Type = int32_t;
};
template <>
struct Lane<int8_t> {
    using Type = int32_t;
};
template <>
struct Lane<uint8_t> {
    using Type = int32_t;
};

// ---- elements in and out of lanes

template <typename T>
static __device__ __forceinline__ typename Lane<T>::Type load(T x) { return x; }
template <>
__device__ __forceinline__ float load<bf16>(bf16 x) { return widen(x); }
template <>
__device__ __forceinline__ float load<f16>(f16 x) { return widen(x); }
template <>
__device__ __forceinline__ float load<e4m3>(e4m3 x) { return widen(x); }
template <>
__device__ __forceinline__ float load<e5m2>(e5m2 x) { return widen(x); }

template <typename T>
static __device__ __forceinline__ T store(typename Lane<T>::Type x) { return static_cast<T>(x); }
template <>
__device__ __forceinline__ float store<float>(float x) { return x == x ? x : __uint_as_float(0x7fc00000u); }
template <>
__device__ __forceinline__ bf16 store<bf16>(float x) { return x == x ? narrow<bf16>(x) : __ushort_as_bfloat16(0x7fc0u); }
template <>
__device__ __forceinline__ f16 store<f16>(float x) { return x == x ? narrow<f16>(x) : __ushort_as_half(0x7e00u); }
template <>
__device__ __forceinline__ e4m3 store<e4m3>(float x) { return x == x ? to_e4m3(x) : e4m3{0x7f}; }
template <>
__device__ __forceinline__ e5m2 store<e5m2>(float x) { return x == x ? to_e5m2(x) : e5m2{0x7f}; }
template <>
__device__ __forceinline__ double store<double>(double x) { return x == x ? x : __longlong_as_double(0x7ff8000000000000); }

/** An element times its rank's factor, rounded to its type; floating types only. */
template <typename T>
static __device__ __forceinline__ T scale(T x, double factor) { return narrow<T>(widen(x) * static_cast<float>(factor)); }
template <>
__device__ __forceinline__ double scale<double>(double x, double factor) { return x * factor; }
template <>
__device__ __forceinline__ int64_t scale<int64_t>(int64_t x, double) { return x; }
template <>
__device__ __forceinline__ int32_t scale<int32_t>(int32_t x, double) { return x; }
template <>
__device__ __forceinline__ int8_t scale<int8_t>(int8_t x, double) { return x; }
template <>
__device__ __forceinline__ uint8_t scale<uint8_t>(uint8_t x, double) { return x; }

// ---- joins

static __device__ __forceinline__ float plus(float a, float b) { return a + b; }
static __device__ __forceinline__ double plus(double a, double b) { return a + b; }
static __device__ __forceinline__ int32_t plus(int32_t a, int32_t b) {
    return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}
static __device__ __forceinline__ int64_t plus(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

static __device__ __forceinline__ float times(float a, float b) { return a * b; }
static __device__ __forceinline__ double times(double a, double b) { return a * b; }
static __device__ __forceinline__ int32_t times(int32_t a, int32_t b) {
    return static_cast<int32_t>(static_cast<uint32_t>(a) * static_cast<uint32_t>(b));
}
static __device__ __forceinline__ int64_t times(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

// As Java's: one that is not a number wins, and -0 is less than 0.

template <typename L>
static __device__ __forceinline__ L least(L a, L b) {
    const L less = a < b || (a == b && signbit(a)) ? a : b;
    return a != a || b != b ? a + b : less;
}
static __device__ __forceinline__ int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }
static __device__ __forceinline__ int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

template <typename L>
static __device__ __forceinline__ L most(L a, L b) {
    const L more = a > b || (a == b && !signbit(a)) ? a : b;
    return a != a || b != b ? a + b : more;
}
static __device__ __forceinline__ int32_t most(int32_t a, int32_t b) { return a > b ? a : b; }
static __device__ __forceinline__ int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

template <typename L>
static __device__ __forceinline__ L join(int op, L a, L b) {
    switch (op) {
        case PRODUCT: return times(a, b);
        case MIN: return least(a, b);
        case MAX: return most(a, b);
        default: return plus(a, b);
    }
}

/** The ranks' elements at N neighbouring places, joined as SegmentSum adds segments: at most 15 ranks. */
template <typename L, int N>
struct Tree {
    static const int LEVELS = 4;
    L waiting[LEVELS][N];

    __device__ __forceinline__ void add(int op, int rank, L (&x)[N]) {
        bool open = true;
#pragma unroll
        for (int level = 0; level < LEVELS; level++) {
            if (open && (rank >> level & 1) != 0) {
#pragma unroll
                for (int i = 0; i < N; i++) {
                    x[i] = join(op, waiting[level][i], x[i]);
                }
            } else if (open) {
#pragma unroll
                for (int i = 0; i < N; i++) {
                    waiting[level][i] = x[i];
                }
                open = false;
            }
        }
    }

    __device__ __forceinline__ void total(int op, int ranks, L (&x)[N]) const {
        bool begun = false;
#pragma unroll
        for (int level = 0; level < LEVELS; level++) {
            if ((ranks >> level & 1) != 0) {
#pragma unroll
                for (int i = 0; i < N; i++) {
                    x[i] = begun ? join(op, waiting[level][i], x[i]) : waiting[level][i];
                }
                begun = true;
            }
        }
    }
};

/** Neighbours that are loaded and stored at once. */
template <typename T, int N>
struct __align__(sizeof(T) * N) Pack {
    T of[N];
};

/** The result for the N elements at `at`. Every source is read before the result is written, which may be one of them. */
template <typename T, int N>
static __device__ __forceinline__ void reduce_at(
    const Source* sources, int ranks, int64_t from, int64_t at, int op, int divisor, T* out) {
    using L = typename Lane<T>::Type;
    Tree<L, N> tree;
    L x[N] = {};
    for (int rank = 0; rank < ranks; rank++) {
        const Source source = sources[rank];
        Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(static_cast<const T*>(source.elements) + from + at);
#pragma unroll
        for (int i = 0; i < N; i++) {
            x[i] = load<T>(op == SCALED_SUM ? scale(pack.of[i], source.factor) : pack.of[i]);
        }
        tree.add(op, rank, x);
    }
    tree.total(op, ranks, x);
    Pack<T, N> result;
#pragma unroll
    for (int i = 0; i < N; i++) {
        result.of[i] = store<T>(divisor == 1 ? x[i] : x[i] / divisor);
    }
    *reinterpret_cast<Pack<T, N>*>(out + at) = result;
}

/**
 * out[i] = the join of all ranks' elements from + i, for i below n, divided by `divisor`. Moves ranks + 1 times the bytes of out.
 */
template <typename T>
static __device__ __forceinline__ void reduce(
    const Source* sources, int ranks, int64_t from, int64_t n, int op, int divisor, T* out) {
    constexpr int WIDE = sizeof(T) == 8 ? 2 : 4;
    bool aligned = is_aligned<Pack<T, WIDE>>(out);
    for (int rank = 0; rank < ranks; rank++) {
        aligned &= is_aligned<Pack<T, WIDE>>(static_cast<const T*>(sources[rank].elements) + from);
    }
    const int64_t thread = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const int64_t threads = static_cast<int64_t>(gridDim.x) * blockDim.x;
    const int64_t wide = aligned ? n / WIDE : 0;
    for (int64_t i = thread; i < wide; i += threads) {
        reduce_at<T, WIDE>(sources, ranks, from, i * WIDE, op, divisor, out);
    }
    for (int64_t i = wide * WIDE + thread; i < n; i += threads) {
        reduce_at<T, 1>(sources, ranks, from, i, op, divisor, out);
    }
}
