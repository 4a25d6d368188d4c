// Attention of prompts on tensor cores, for caches of 16 bits whose heads have at most 128 elements, a multiple of 8
// (FlashAttention-2, Dao, 2023): queries and exponentials are rounded to the cache's type, sums are f32.
//
// A block of four warps takes 64 queries of a sequence and a key/value head, 16 a warp, over all heads that share it. It goes over
// the context in tiles of 64 positions, counted from its start, so that a token has the same bits however its prompt is
// cut into chunks of two tokens or more. Of one token `attention_decode` computes in f32, and gives others.
//
// While a tile's scores are computed its values come, and the next tile's keys while its values are added. Reads the
// context once for 64 queries.

#include "paged.cuh"
#include "tensor_cores.cuh"

constexpr int TILE = 64;      // queries of a block, and positions that it takes at once
constexpr int WARP_ROWS = 16; // queries of a warp

/**
 * Rows of keys or values in shared memory, in pieces of 16 bytes. A row begins with another piece than its neighbours,
 * so that eight rows' pieces of one number lie in different banks.
 */
template <typename T, int WIDTH>
struct Rows {
    alignas(128) T elements[TILE][WIDTH];

    __device__ __forceinline__ T* at(int position, int piece) { return &elements[position][(piece ^ (position & 7)) * 8]; }

    /** Begins to copy positions `from` to `from` + `count` of a context; zeros behind them, and where a row is longer. */
    __device__ __forceinline__ void begin(const Context<T>& context, int from, int count) {
        const int pieces = WIDTH / 8;
#pragma unroll 2
        for (int i = threadIdx.x; i < TILE * pieces; i += 128) {
            const int position = i / pieces;
            const int piece = i % pieces;
            const bool there = position < count && piece * 8 < context.head_size;
            begin_copy(at(position, piece), there ? context.at(from + position) + piece * 8 : context.cache, there);
        }
    }
};

template <typename T, int WIDTH>
struct FlashTiles {
    Rows<T, WIDTH> keys;
    Rows<T, WIDTH> values;
};

/** Over the four lanes that share a row. */
static __device__ __forceinline__ float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 1));
    return fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 2));
}

static __device__ __forceinline__ float quad_sum(float x) {
    x += __shfl_xor_sync(ALL_LANES, x, 1);
    return x + __shfl_xor_sync(ALL_LANES, x, 2);
}

template <typename T, int WIDTH>
static __device__ __forceinline__ void attend_on_tensor_cores(
    FlashTiles<T, WIDTH>& shared, const float* query, const T* key_cache, const T* value_cache, const int* query_starts,
    const int* context_lengths, const int* block_tables, int max_blocks, int block_size, int heads, int kv_heads, int head_size,
    float scale, float* out) {
    const T* const type = nullptr;
    const int sequence = blockIdx.z;
    const int head = blockIdx.y;
    const int group = heads / kv_heads;
    const int start = query_starts[sequence];
    const int tokens = query_starts[sequence + 1] - start;
    const int first_row = static_cast<int>(gridDim.x - 1 - blockIdx.x) * TILE; // those with the longest context begin first
    const int rows = min(TILE, tokens * group - first_row);
    if (tokens < 2 || rows <= 0) {
        return;
    }
    const int before = context_lengths[sequence] - tokens; // positions before the first query
    const int end = before + (first_row + rows - 1) / group + 1;
    const int* table = block_tables + static_cast<int64_t>(sequence) * max_blocks;
    const Context<T> keys = {key_cache, table, block_size, kv_heads, head, head_size};
    const Context<T> values = {value_cache, table, block_size, kv_heads, head, head_size};
    const int lane = threadIdx.x % 32;
    const int side = lane % 4;
    const int my_row = static_cast<int>(threadIdx.x) / 32 * WARP_ROWS + lane / 4; // and the one 8 further

    // Of this lane's two rows: whether they are queries, where in `query` and `out`, and how many positions they see.
    bool there[2];
    int64_t row_at[2];
    int visible[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int row = first_row + my_row + 8 * half;
        there[half] = my_row + 8 * half < rows;
        row_at[half] = (static_cast<int64_t>(start + row / group) * heads + head * group + row % group) * head_size;
        visible[half] = before + row / group + 1;
    }

    shared.keys.begin(keys, 0, min(TILE, end));
    unsigned queries[WIDTH / 16][4];
#pragma unroll
    for (int k = 0; k < WIDTH / 16; k++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int element = 16 * k + i / 2 * 8 + 2 * side;
            const bool some = there[i % 2] && element < head_size;
            const float* two = query + row_at[i % 2] + element;
            queries[k][i] = some ? pair<T>(two[0], two[1]) : 0;
        }
    }
    const float to_base_2 = scale * 1.4426950408889634f;
    float largest[2] = {-INFINITY, -INFINITY};
    float total[2] = {}; // of this lane's positions
    float sums[WIDTH / 8][4] = {};

    for (int tile = 0; tile < end; tile += TILE) {
        await_copies();
        __syncthreads(); // the keys are there, and the last values no longer needed
        shared.values.begin(values, tile, min(TILE, end - tile));

        float scores[TILE / 8][4] = {};
#pragma unroll
        for (int n = 0; n < TILE / 8; n++) {
#pragma unroll
            for (int k = 0; k < WIDTH / 16; k += 2) {
                unsigned b[4];
                load_matrices(b, shared.keys.at(8 * n + lane % 8, 2 * k + lane / 8));
                multiply_add(scores[n], queries[k], b[0], b[1], type);
                multiply_add(scores[n], queries[k + 1], b[2], b[3], type);
            }
        }
        if (tile + TILE > before + first_row / group + 1) { // some query of the block does not see all of it
#pragma unroll
            for (int n = 0; n < TILE / 8; n++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    if (tile + 8 * n + 2 * side + i % 2 >= visible[i / 2]) {
                        scores[n][i] = -INFINITY;
                    }
                }
            }
        }

        // The running softmax: exponentials in the scores' place, what is summed so far to the new largest score.
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float most = largest[half];
#pragma unroll
            for (int n = 0; n < TILE / 8; n++) {
                most = fmaxf(most, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
            }
            most = quad_max(most); // of a position that all see, so never -inf
            const float share = exp2f((largest[half] - most) * to_base_2);
            largest[half] = most;
            float sum = 0.0f;
#pragma unroll
            for (int n = 0; n < TILE / 8; n++) {
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++) {
                    scores[n][i] = exp2f((scores[n][i] - most) * to_base_2);
                    sum += scores[n][i];
                }
            }
            total[half] = fmaf(total[half], share, sum);
#pragma unroll
            for (int n = 0; n < WIDTH / 8; n++) {
                sums[n][2 * half] *= share;
                sums[n][2 * half + 1] *= share;
            }
        }

        await_copies();
        __syncthreads(); // the values are there, and the keys no longer needed
        if (tile + TILE < end) {
            shared.keys.begin(keys, tile + TILE, min(TILE, end - tile - TILE));
        }
#pragma unroll
        for (int k = 0; k < TILE / 16; k++) { // a sum's layout of two tiles of columns is that of one of rows
            const unsigned a[4] = {
                pair<T>(scores[2 * k][0], scores[2 * k][1]), pair<T>(scores[2 * k][2], scores[2 * k][3]),
                pair<T>(scores[2 * k + 1][0], scores[2 * k + 1][1]), pair<T>(scores[2 * k + 1][2], scores[2 * k + 1][3])};
#pragma unroll
            for (int n = 0; n < WIDTH / 8; n += 2) {
                unsigned b[4];
                load_transposed(b, shared.values.at(16 * k + lane % 16, n + lane / 16));
                multiply_add(sums[n], a, b[0], b[1], type);
                multiply_add(sums[n + 1], a, b[2], b[3], type);
            }
        }
    }

#pragma unroll
    for (int half = 0; half < 2; half++) {
        const float all = quad_sum(total[half]);
#pragma unroll
        for (int n = 0; n < WIDTH / 8; n++) {
            const int element = 8 * n + 2 * side;
            if (there[half] && element < head_size) {
                out[row_at[half] + element] = sums[n][2 * half] / all;
                out[row_at[half] + element + 1] = sums[n][2 * half + 1] / all;
            }
        }
    }
}

#define FLASH(T, name, WIDTH)                                                                                               \
    extern "C" __global__ void __launch_bounds__(128, 2) flash_prefill_##name##_##WIDTH(                                      \
        const float* __restrict__ query, const T* __restrict__ key_cache, const T* __restrict__ value_cache,               \
        const int* __restrict__ query_starts, const int* __restrict__ context_lengths,                                     \
        const int* __restrict__ block_tables, int max_blocks, int block_size, int heads, int kv_heads, int head_size,      \
        float scale, float* __restrict__ out) {                                                                            \
        __shared__ FlashTiles<T, WIDTH> tiles;                                                                             \
        attend_on_tensor_cores(                                                                                            \
            tiles, query, key_cache, value_cache, query_starts, context_lengths, block_tables, max_blocks, block_size, heads,     \
            kv_heads, head_size, scale, out);                                                                              \
    }

FLASH(bf16, bf16, 64)
FLASH(bf16, bf16, 128)
FLASH(f16, f16, 64)
FLASH(f16, f16, 128)
