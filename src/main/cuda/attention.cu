// Causal grouped-query attention over a paged cache (PagedAttention, Kwon et al., 2023), with the running softmax of
// FlashAttention (Dao et al., 2022). A cache: (blocks, kv_heads, block_size, head_size), keys and values apart.
//
// The context is taken in parts of 128 positions, counted from its start. A query meets a part in one go: scores, each summed
// over the head's elements one after the other; their largest; exponentials; values, summed position by position. Parts are
// then joined in their order. Prefill does all parts in one block, decode each in a block of its own, and both do this same
// arithmetic: a token has the same bits however its prompt is cut.

#include "paged.cuh"

constexpr int PART = 128;     // positions
constexpr int ROWS = 64;      // queries of a prefill block: tokens times the heads that share a key/value head
constexpr int GROUP = 8;      // heads of a decode block that share a key/value head
constexpr int HEAD_SIZE = 256; // at most

/**
 * Makes exponentials of a row of scores, zeros from `visible` on, by one warp.
 *
 * @param largest the largest score, in every lane
 * @return the sum of the exponentials, in every lane
 */
static __device__ __forceinline__ float soften(float* scores, int visible, float& largest) {
    const int lane = threadIdx.x % 32;
    float score[PART / 32];
    largest = -INFINITY;
#pragma unroll
    for (int i = 0; i < PART / 32; i++) {
        score[i] = lane + 32 * i < visible ? scores[lane + 32 * i] : -INFINITY;
        largest = fmaxf(largest, score[i]);
    }
    largest = warp_max(largest);
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < PART / 32; i++) {
        const float weight = lane + 32 * i < visible ? expf(score[i] - largest) : 0.0f;
        scores[lane + 32 * i] = weight;
        sum += weight;
    }
    return warp_sum(sum);
}

/** A sum joined by the next part's: how much of either remains. */
struct Joint {
    float old_share;
    float new_share;

    __device__ __forceinline__ float of(float old_sum, float new_sum) const {
        return fmaf(old_sum, old_share, new_sum * new_share);
    }
};

/** Takes the next part's largest score in; the largest of no part is -inf. */
static __device__ __forceinline__ Joint join(float& largest, float next) {
    const float most = fmaxf(largest, next);
    const Joint joint = {expf(largest - most), expf(next - most)};
    largest = most;
    return joint;
}

// ---- writing: each token's keys and values to its slot, in the cache's type. Moves (8 + 2 · bytes of T) · kv_heads · head_size
// bytes a token. A slot of -1 is not written.

template <typename T>
static __device__ void write_cache(
    const float* keys, const float* values, const int* slots, int kv_heads, int head_size, int block_size, T* key_cache,
    T* value_cache) {
    const int slot = slots[blockIdx.x];
    if (slot < 0) {
        return;
    }
    const int width = kv_heads * head_size;
    const int64_t from = static_cast<int64_t>(blockIdx.x) * width;
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        const int64_t row = (static_cast<int64_t>(slot / block_size) * kv_heads + i / head_size) * block_size + slot % block_size;
        key_cache[row * head_size + i % head_size] = narrow<T>(keys[from + i]);
        value_cache[row * head_size + i % head_size] = narrow<T>(values[from + i]);
    }
}

// ---- prefill: 64 queries of a sequence and a key/value head by 256 threads, 4 × 8 scores and then 4 × 4 outputs each.
// Reads the context once for 64 queries; the sums so far wait in `out`.

/** What the threads of a prefill block share. Rows are padded to start in other banks, and stay aligned for 16 bytes. */
struct PrefillTiles {
    alignas(16) float weights[ROWS][PART + 4]; // scores, then exponentials
    alignas(16) float tile[16][PART + 4];      // (elements, positions) of keys, then (positions, elements) of values
    alignas(16) float queries[16][ROWS + 4];   // (elements, rows)
    float largest[ROWS];
    float total[ROWS];
    float old_share[ROWS];
    float new_share[ROWS];
};

template <typename T>
static __device__ __forceinline__ void attend_prompt(
    PrefillTiles& shared, const float* query, const T* key_cache, const T* value_cache, const int* query_starts, const int* context_lengths,
    const int* block_tables, int max_blocks, int block_size, int heads, int kv_heads, int head_size, float scale, float* out) {
    auto& [weights, tile, queries, largest, total, old_share, new_share] = shared;
    const int sequence = blockIdx.z;
    const int head = blockIdx.y;
    const int group = heads / kv_heads;
    const int start = query_starts[sequence];
    const int tokens = query_starts[sequence + 1] - start;
    const int rows = min(ROWS, tokens * group - static_cast<int>(blockIdx.x) * ROWS);
    if (tokens < 2 || rows <= 0) {
        return;
    }
    const int first_row = blockIdx.x * ROWS;
    const int context = context_lengths[sequence];
    const int before = context - tokens; // positions before the first query
    const int end = before + (first_row + rows - 1) / group + 1;
    const int* table = block_tables + static_cast<int64_t>(sequence) * max_blocks;
    const Context<T> keys = {key_cache, table, block_size, kv_heads, head, head_size};
    const Context<T> values = {value_cache, table, block_size, kv_heads, head, head_size};
    const int thread = threadIdx.x;
    const int row4 = thread / 16 * 4; // this thread's rows
    const int side = thread % 16;     // its positions 4 · side and 64 + 4 · side, its elements 4 · side

    const auto row_of = [&](int row) -> int64_t { // of a query in `query` and `out`
        const int r = first_row + row;
        return (static_cast<int64_t>(start + r / group) * heads + head * group + r % group) * head_size;
    };

    for (int row = thread; row < ROWS; row += 256) {
        largest[row] = -INFINITY;
        total[row] = 0.0f;
    }
    for (int part = 0; part < end; part += PART) {
        const int count = min(PART, end - part);

        // scores: 16 elements of all queries and positions at a time
        float score[4][8] = {};
        for (int from = 0; from < head_size; from += 16) {
            __syncthreads();
            for (int i = thread; i < 16 * ROWS; i += 256) {
                const int element = from + i % 16;
                const bool there = i / 16 < rows && element < head_size;
                queries[i % 16][i / 16] = there ? query[row_of(i / 16) + element] * scale : 0.0f;
            }
            for (int i = thread; i < 16 * PART; i += 256) {
                const int element = from + i % 16;
                const bool there = i / 16 < count && element < head_size;
                tile[i % 16][i / 16] = there ? widen(keys.at(part + i / 16)[element]) : 0.0f;
            }
            __syncthreads();
#pragma unroll
            for (int e = 0; e < 16; e++) {
                const float4 q4 = *reinterpret_cast<const float4*>(&queries[e][row4]);
                const float4 low = *reinterpret_cast<const float4*>(&tile[e][4 * side]);
                const float4 high = *reinterpret_cast<const float4*>(&tile[e][64 + 4 * side]);
                const float q[4] = {q4.x, q4.y, q4.z, q4.w};
                const float k[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
                for (int r = 0; r < 4; r++) {
#pragma unroll
                    for (int p = 0; p < 8; p++) {
                        score[r][p] = fmaf(q[r], k[p], score[r][p]);
                    }
                }
            }
        }
#pragma unroll
        for (int r = 0; r < 4; r++) {
#pragma unroll
            for (int p = 0; p < 8; p++) {
                weights[row4 + r][p / 4 * 64 + 4 * side + p % 4] = score[r][p];
            }
        }
        __syncthreads();

        // exponentials: a warp takes 8 rows
        for (int row = thread / 32; row < rows; row += 8) {
            const int visible = min(count, before + (first_row + row) / group + 1 - part);
            float most = -INFINITY;
            const float sum = soften(weights[row], visible, most);
            if (thread % 32 == 0 && visible > 0) {
                float most_so_far = largest[row];
                const Joint joint = join(most_so_far, most);
                largest[row] = most_so_far;
                total[row] = joint.of(total[row], sum);
                old_share[row] = joint.old_share;
                new_share[row] = joint.new_share;
            }
        }

        // values: 64 elements at a time, 16 positions of them
        for (int from = 0; from < head_size; from += 64) {
            float sum[4][4] = {};
            for (int position = 0; position < count; position += 16) {
                __syncthreads();
                for (int i = thread; i < 16 * 64; i += 256) {
                    const int element = from + i % 64;
                    const bool there = position + i / 64 < count && element < head_size;
                    tile[i / 64][i % 64] = there ? widen(values.at(part + position + i / 64)[element]) : 0.0f;
                }
                __syncthreads();
#pragma unroll
                for (int p = 0; p < 16; p += 4) {
                    float w[4][4];
#pragma unroll
                    for (int r = 0; r < 4; r++) {
                        const float4 four = *reinterpret_cast<const float4*>(&weights[row4 + r][position + p]);
                        w[r][0] = four.x;
                        w[r][1] = four.y;
                        w[r][2] = four.z;
                        w[r][3] = four.w;
                    }
#pragma unroll
                    for (int j = 0; j < 4; j++) {
                        const float4 v = *reinterpret_cast<const float4*>(&tile[p + j][4 * side]);
#pragma unroll
                        for (int r = 0; r < 4; r++) {
                            sum[r][0] = fmaf(w[r][j], v.x, sum[r][0]);
                            sum[r][1] = fmaf(w[r][j], v.y, sum[r][1]);
                            sum[r][2] = fmaf(w[r][j], v.z, sum[r][2]);
                            sum[r][3] = fmaf(w[r][j], v.w, sum[r][3]);
                        }
                    }
                }
            }
#pragma unroll
            for (int r = 0; r < 4; r++) {
                const int row = row4 + r;
                if (row < rows && before + (first_row + row) / group >= part) {
                    const Joint joint = {old_share[row], new_share[row]};
                    const bool last = before + (first_row + row) / group < part + PART;
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        const int element = from + 4 * side + i;
                        if (element < head_size) {
                            const int64_t at = row_of(row) + element;
                            const float joined = joint.of(part == 0 ? 0.0f : out[at], sum[r][i]);
                            out[at] = last ? joined / total[row] : joined;
                        }
                    }
                }
            }
        }
    }
}

// ---- decode: one query of up to 8 heads, a part of the context to a block of 128 threads. Reads the context once.

/** What the threads of a decode block share. */
struct DecodeTiles {
    alignas(16) float queries[GROUP][HEAD_SIZE];
    alignas(16) float weights[GROUP][PART]; // scores, then exponentials
    uint4 keys[PART][9];                    // 128 bytes of each position; a row in other banks
};

/** The sums of one part and its softmax's largest score and total, for `attention_combine`. */
template <typename T>
static __device__ __forceinline__ void attend_token(
    DecodeTiles& shared, const float* query, const T* key_cache, const T* value_cache, const int* query_starts, const int* context_lengths,
    const int* block_tables, int max_blocks, int block_size, int heads, int kv_heads, int head_size, float scale, float* partial,
    float* stats) {
    const int CHUNK = 128 / sizeof(T); // elements of a position staged at a time: 128 bytes
    const int PACK = 16 / sizeof(T);
    auto& [queries, weights, tile] = shared;
    const int sequence = blockIdx.z;
    const int start = query_starts[sequence];
    const int context = context_lengths[sequence];
    const int part = blockIdx.x;
    const int group = heads / kv_heads;
    const int groups = (group + GROUP - 1) / GROUP;
    if (query_starts[sequence + 1] - start != 1 || part * PART >= context) {
        return;
    }
    const int head = blockIdx.y / groups;
    const int first_head = head * group + static_cast<int>(blockIdx.y) % groups * GROUP;
    const int count_heads = min(GROUP, (head + 1) * group - first_head);
    const int count = min(PART, context - part * PART);
    const int* table = block_tables + static_cast<int64_t>(sequence) * max_blocks;
    const Context<T> keys = {key_cache, table, block_size, kv_heads, head, head_size};
    const Context<T> values = {value_cache, table, block_size, kv_heads, head, head_size};
    const int thread = threadIdx.x;

    for (int i = thread; i < GROUP * HEAD_SIZE; i += 128) {
        const int h = i / HEAD_SIZE;
        const int element = i % HEAD_SIZE;
        queries[h][element] = h < count_heads && element < head_size
            ? query[(static_cast<int64_t>(start) * heads + first_head + h) * head_size + element] * scale
            : 0.0f;
    }

    // scores: a thread to a position; keys come through shared memory, as neighbours in memory
    const bool wide = is_wide(key_cache, head_size);
    float score[GROUP] = {};
    for (int from = 0; from < head_size; from += CHUNK) {
        __syncthreads();
        for (int i = thread; i < PART * 8; i += 128) {
            const int position = i / 8;
            const int element = from + i % 8 * PACK;
            uint4 raw = {0, 0, 0, 0};
            if (position < count && element < head_size) {
                const T* key = keys.at(part * PART + position) + element;
                if (wide) {
                    raw = *reinterpret_cast<const uint4*>(key);
                } else {
                    T some[PACK];
                    for (int e = 0; e < PACK; e++) {
                        some[e] = element + e < head_size ? key[e] : narrow<T>(0.0f);
                    }
                    memcpy(&raw, some, sizeof(raw));
                }
            }
            tile[position][i % 8] = raw;
        }
        __syncthreads();
#pragma unroll 2
        for (int i = 0; i < 8; i++) {
            float k[PACK];
            unpack(tile[thread][i], static_cast<const T*>(nullptr), k);
#pragma unroll
            for (int h = 0; h < GROUP; h++) {
                if (h < count_heads) {
#pragma unroll
                    for (int e = 0; e < PACK; e += 4) {
                        const float4 q = *reinterpret_cast<const float4*>(&queries[h][from + i * PACK + e]);
                        score[h] = fmaf(q.x, k[e], score[h]);
                        score[h] = fmaf(q.y, k[e + 1], score[h]);
                        score[h] = fmaf(q.z, k[e + 2], score[h]);
                        score[h] = fmaf(q.w, k[e + 3], score[h]);
                    }
                }
            }
        }
    }
#pragma unroll
    for (int h = 0; h < GROUP; h++) {
        weights[h][thread] = score[h];
    }
    __syncthreads();

    // exponentials: a warp takes every fourth head
    for (int h = thread / 32; h < count_heads; h += 4) {
        float largest = -INFINITY;
        const float total = soften(weights[h], count, largest);
        if (thread % 32 == 0) {
            const int64_t at = (static_cast<int64_t>(sequence) * heads + first_head + h) * gridDim.x + part;
            stats[2 * at] = largest;
            stats[2 * at + 1] = total;
        }
    }
    __syncthreads();

    // values: a thread to an element
    for (int element = thread; element < head_size; element += 128) {
        float sum[GROUP] = {};
        for (int position = 0; position < count; position += 4) {
            float v[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                v[j] = position + j < count ? widen(values.at(part * PART + position + j)[element]) : 0.0f;
            }
#pragma unroll
            for (int h = 0; h < GROUP; h++) {
                if (h < count_heads) {
                    const float4 w = *reinterpret_cast<const float4*>(&weights[h][position]);
                    sum[h] = fmaf(w.x, v[0], sum[h]);
                    sum[h] = fmaf(w.y, v[1], sum[h]);
                    sum[h] = fmaf(w.z, v[2], sum[h]);
                    sum[h] = fmaf(w.w, v[3], sum[h]);
                }
            }
        }
#pragma unroll
        for (int h = 0; h < GROUP; h++) {
            if (h < count_heads) {
                const int64_t at = (static_cast<int64_t>(sequence) * heads + first_head + h) * gridDim.x + part;
                partial[at * head_size + element] = sum[h];
            }
        }
    }
}

/** Joins a head's parts in their order. Reads 4 · parts · head_size bytes of each head that has a context. */
extern "C" __global__ void __launch_bounds__(128, 5) attention_combine(
    const float* __restrict__ partial, const float* __restrict__ stats, const int* __restrict__ query_starts,
    const int* __restrict__ context_lengths, int parts, int heads, int head_size, float* __restrict__ out) {
    const int sequence = blockIdx.y;
    const int start = query_starts[sequence];
    if (query_starts[sequence + 1] - start != 1) {
        return;
    }
    const int used = (context_lengths[sequence] + PART - 1) / PART;
    const int64_t first = (static_cast<int64_t>(sequence) * heads + blockIdx.x) * parts;
    for (int element = threadIdx.x; element < head_size; element += 128) {
        float largest = -INFINITY;
        float total = 0.0f;
        float sum = 0.0f;
        for (int part = 0; part < used; part++) {
            const Joint joint = join(largest, stats[2 * (first + part)]);
            total = joint.of(total, stats[2 * (first + part) + 1]);
            sum = joint.of(sum, partial[(first + part) * head_size + element]);
        }
        out[(static_cast<int64_t>(start) * heads + blockIdx.x) * head_size + element] = used == 0 ? 0.0f : sum / total;
    }
}

#define ATTENTION(T, name)                                                                                                 \
    extern "C" __global__ void __launch_bounds__(256) write_cache_##name(                                                  \
        const float* __restrict__ keys, const float* __restrict__ values, const int* __restrict__ slots, int kv_heads,     \
        int head_size, int block_size, T* __restrict__ key_cache, T* __restrict__ value_cache) {                           \
        write_cache(keys, values, slots, kv_heads, head_size, block_size, key_cache, value_cache);                         \
    }                                                                                                                      \
    extern "C" __global__ void __launch_bounds__(256, 2) attention_prefill_##name(                                            \
        const float* __restrict__ query, const T* __restrict__ key_cache, const T* __restrict__ value_cache,               \
        const int* __restrict__ query_starts, const int* __restrict__ context_lengths,                                     \
        const int* __restrict__ block_tables, int max_blocks, int block_size, int heads, int kv_heads, int head_size,      \
        float scale, float* __restrict__ out) {                                                                            \
        __shared__ PrefillTiles tiles;                                                                                     \
        attend_prompt(                                                                                                     \
            tiles, query, key_cache, value_cache, query_starts, context_lengths, block_tables, max_blocks, block_size, heads,     \
            kv_heads, head_size, scale, out);                                                                              \
    }                                                                                                                      \
    extern "C" __global__ void __launch_bounds__(128, 5) attention_decode_##name(                                             \
        const float* __restrict__ query, const T* __restrict__ key_cache, const T* __restrict__ value_cache,               \
        const int* __restrict__ query_starts, const int* __restrict__ context_lengths,                                     \
        const int* __restrict__ block_tables, int max_blocks, int block_size, int heads, int kv_heads, int head_size,      \
        float scale, float* __restrict__ partial, float* __restrict__ stats) {                                             \
        __shared__ DecodeTiles tiles;                                                                                      \
        attend_token(                                                                                                      \
            tiles, query, key_cache, value_cache, query_starts, context_lengths, block_tables, max_blocks, block_size, heads,     \
            kv_heads, head_size, scale, partial, stats);                                                                   \
    }

ATTENTION(float, f32)
ATTENTION(bf16, bf16)
ATTENTION(f16, f16)
