// out = x · weightᵀ + bias for a few tokens: all of the time goes into reading the weights, so they are read once, 16 bytes
// a load, and serve K tokens. For more tokens the grid's y covers them K by K: slower than tensor cores, but a token's sums
// have the same bits for every K, every grid and every batch.
//
// A warp takes R rows. Lane l takes the groups l, l + 32, ... of a segment's columns, a group being the columns of 16 bytes;
// the lanes' sums are added in pairs, the segments' as a balanced tree (Kernels.linear). Moves the weights once for
// every K tokens, and x from the caches.

#include "numeric.cuh"

/** A matrix as it is stored. */
template <typename T>
struct Stored {
    using Element = T;
    static const int GROUP = 16 / sizeof(T);
    const T* weight;
    int64_t columns;

    __device__ __forceinline__ const T* at(int64_t row, int segment, int run) const {
        return weight + row * columns + static_cast<int64_t>(segment) * run;
    }

    __device__ __forceinline__ float scale(int64_t, int, int, int) const { return 1.0f; }
    __device__ __forceinline__ float rounded(float x, bool round) const { return round ? widen(narrow<T>(x)) : x; }
};

/** A matrix of bytes, 32 neighbouring columns sharing a scale; blocks begin anew with each segment. */
struct Quantised {
    using Element = int8_t;
    static const int GROUP = 16;
    const int8_t* weight;
    const float* scales;
    int64_t columns;
    int segments;

    __device__ __forceinline__ const int8_t* at(int64_t row, int segment, int run) const {
        return weight + row * columns + static_cast<int64_t>(segment) * run;
    }

    __device__ __forceinline__ float scale(int64_t row, int segment, int run, int column) const {
        const int blocks = (run + 31) / 32;
        return scales[(row * segments + segment) * blocks + column / 32];
    }

    __device__ __forceinline__ float rounded(float x, bool) const { return x; }
};

template <typename T>
static __device__ __forceinline__ float plain(T x) { return widen(x); }
static __device__ __forceinline__ float plain(int8_t x) { return static_cast<float>(x); }

/** Adds one group of columns: each row's elements times each token's. */
template <int K, int R, typename M>
static __device__ __forceinline__ void add_group(
    const M& matrix, const float (&w)[R][M::GROUP], const float* x, const int (&tokens)[K], int column, bool round, float (&sums)[R * K]) {
#pragma unroll
    for (int i = 0; i < M::GROUP; i += 4) {
#pragma unroll
        for (int k = 0; k < K; k++) {
            const float4 four = *reinterpret_cast<const float4*>(x + tokens[k] + column + i);
            const float v[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const float element = matrix.rounded(v[j], round);
#pragma unroll
                for (int r = 0; r < R; r++) {
                    sums[r * K + k] = fmaf(w[r][i + j], element, sums[r * K + k]);
                }
            }
        }
    }
}

/** The lanes' shares of one segment. */
template <int K, int R, int U, typename M>
static __device__ __forceinline__ void add_segment(
    const M& matrix, const int64_t (&rows)[R], const float* x, const int (&tokens)[K], int segment, int run, bool wide, bool round,
    float (&sums)[R * K]) {
    using T = typename M::Element;
    const int lane = threadIdx.x % 32;
    const int groups = (run + M::GROUP - 1) / M::GROUP;
    if (wide) {
        for (int group = lane; group < groups; group += 32 * U) {
            uint4 raw[U][R]; // loads under way
#pragma unroll
            for (int u = 0; u < U; u++) {
#pragma unroll
                for (int r = 0; r < R; r++) {
                    if (group + 32 * u < groups) {
                        raw[u][r] = reinterpret_cast<const uint4*>(matrix.at(rows[r], segment, run))[group + 32 * u];
                    }
                }
            }
#pragma unroll
            for (int u = 0; u < U; u++) {
                const int column = (group + 32 * u) * M::GROUP;
                if (column < run) {
                    float w[R][M::GROUP];
#pragma unroll
                    for (int r = 0; r < R; r++) {
                        unpack(raw[u][r], static_cast<const T*>(nullptr), w[r]);
                        if (sizeof(T) == 1) {
                            const float scale = matrix.scale(rows[r], segment, run, column);
#pragma unroll
                            for (int i = 0; i < M::GROUP; i++) {
                                w[r][i] *= scale;
                            }
                        }
                    }
                    add_group<K, R>(matrix, w, x, tokens, segment * run + column, round, sums);
                }
            }
        }
        return;
    }
    for (int group = lane; group < groups; group += 32) {
        for (int column = group * M::GROUP; column < min(run, (group + 1) * M::GROUP); column++) {
#pragma unroll
            for (int r = 0; r < R; r++) {
                const float w = plain(matrix.at(rows[r], segment, run)[column]) * matrix.scale(rows[r], segment, run, column);
#pragma unroll
                for (int k = 0; k < K; k++) {
                    sums[r * K + k] = fmaf(w, matrix.rounded(x[tokens[k] + segment * run + column], round), sums[r * K + k]);
                }
            }
        }
    }
}

template <int K, int R, int U, typename M>
static __device__ __forceinline__ void linear(
    const M& matrix, const float* x, const float* bias, int tokens, int rows, int columns, int segments, bool round, float* out) {
    const int lane = threadIdx.x % 32;
    const int warps = gridDim.x * (blockDim.x / 32);
    const int run = columns / segments;
    const bool wide = is_wide(matrix.weight, columns) && is_wide(matrix.weight, run) && is_wide(x, columns) && is_wide(x, run);
    const int first = blockIdx.y * K;
    const float* mine_of_x = x + static_cast<int64_t>(first) * columns;
    int offsets[K];
#pragma unroll
    for (int k = 0; k < K; k++) {
        offsets[k] = min(k, tokens - 1 - first) * columns; // a token too many is done in vain
    }
    for (int64_t row = (blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32) * R; row < rows; row += warps * R) {
        int64_t mine[R];
#pragma unroll
        for (int r = 0; r < R; r++) {
            mine[r] = min(row + r, static_cast<int64_t>(rows) - 1); // and a row
        }
        SegmentSum sum = {};
        for (int s = 0; s < segments; s++) {
            float sums[R * K] = {};
            add_segment<K, R, U>(matrix, mine, mine_of_x, offsets, s, run, wide, round, sums);
            sum.add(s, warp_sums(sums));
        }
        const int each = 32 / (R * K); // lanes that have the same sum
        const int64_t to = row + lane / each / K;
        const int token = first + lane / each % K;
        if (lane % each == 0 && to < rows && token < tokens) {
            const float total = sum.total(segments);
            out[static_cast<int64_t>(token) * rows + to] = bias == nullptr ? total : total + bias[to];
        }
    }
}

// K tokens, R rows of a warp, U loads of a row under way, B blocks at least on a multiprocessor.

#define LINEAR(T, name, K, R, U, B)                                                                                         \
    extern "C" __global__ void __launch_bounds__(128, B) linear_##name##_##K(                                                 \
        const T* __restrict__ weight, const float* __restrict__ x, const float* __restrict__ bias, int tokens, int rows,   \
        int columns, int segments, int round_x, float* __restrict__ out) {                                                 \
        linear<K, R, U>(Stored<T>{weight, columns}, x, bias, tokens, rows, columns, segments, round_x != 0, out);          \
    }

#define LINEAR_Q8(K, R, U, B)                                                                                               \
    extern "C" __global__ void __launch_bounds__(128, B) linear_q8_##K(                                                       \
        const int8_t* __restrict__ weight, const float* __restrict__ scales, const float* __restrict__ x,                  \
        const float* __restrict__ bias, int tokens, int rows, int columns, int segments, float* __restrict__ out) {        \
        linear<K, R, U>(                                                                                                   \
            Quantised{weight, scales, columns, segments}, x, bias, tokens, rows, columns, segments, false, out);           \
    }

LINEAR(float, f32, 1, 1, 4, 6)
LINEAR(float, f32, 2, 2, 2, 4)
LINEAR(float, f32, 4, 2, 2, 3)
LINEAR(float, f32, 8, 4, 1, 3)
LINEAR(bf16, bf16, 1, 1, 4, 6)
LINEAR(bf16, bf16, 2, 2, 2, 4)
LINEAR(bf16, bf16, 4, 2, 2, 3)
LINEAR(bf16, bf16, 8, 4, 1, 3)
LINEAR(f16, f16, 1, 1, 4, 6)
LINEAR(f16, f16, 2, 2, 2, 4)
LINEAR(f16, f16, 4, 2, 2, 3)
LINEAR(f16, f16, 8, 4, 1, 2)
LINEAR_Q8(1, 1, 4, 5)
LINEAR_Q8(2, 2, 2, 3)
LINEAR_Q8(4, 2, 1, 3)
LINEAR_Q8(8, 2, 1, 3)
