// What is done token by token or element by element. All of it waits for memory: each contract says the bytes it moves.

#include "numeric.cuh"

/** The elements that a thread of an elementwise grid works on: neighbours in a warp are neighbours in memory. */
#define FOR_EACH(i, n)                                                                                \
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < (n);            \
         i += static_cast<int64_t>(gridDim.x) * blockDim.x)

// ---- embedding: out[t] = table[ids[t] - first_row], zeros where that is no row. Moves hidden · (4 + bytes of T) a token.

template <typename T>
static __device__ void embed(const T* table, const int* ids, int first_row, int rows, int hidden, float* out) {
    const int64_t row = static_cast<int64_t>(ids[blockIdx.x]) - first_row;
    const bool here = ids[blockIdx.x] >= 0 && row >= 0 && row < rows;
    for (int i = threadIdx.x; i < hidden; i += blockDim.x) {
        out[static_cast<int64_t>(blockIdx.x) * hidden + i] = here ? widen(table[row * hidden + i]) : 0.0f;
    }
}

extern "C" __global__ void __launch_bounds__(256) embed_f32(
    const float* __restrict__ table, const int* __restrict__ ids, int first_row, int rows, int hidden, float* __restrict__ out) {
    embed(table, ids, first_row, rows, hidden, out);
}

extern "C" __global__ void __launch_bounds__(256) embed_bf16(
    const bf16* __restrict__ table, const int* __restrict__ ids, int first_row, int rows, int hidden, float* __restrict__ out) {
    embed(table, ids, first_row, rows, hidden, out);
}

extern "C" __global__ void __launch_bounds__(256) embed_f16(
    const f16* __restrict__ table, const int* __restrict__ ids, int first_row, int rows, int hidden, float* __restrict__ out) {
    embed(table, ids, first_row, rows, hidden, out);
}

/** Of a table in blocks of 32 columns that share a scale; blocks begin anew with each segment. */
extern "C" __global__ void __launch_bounds__(256) embed_q8(
    const int8_t* __restrict__ table, const float* __restrict__ scales, const int* __restrict__ ids, int first_row, int rows,
    int hidden, int segments, float* __restrict__ out) {
    const int64_t row = static_cast<int64_t>(ids[blockIdx.x]) - first_row;
    const bool here = ids[blockIdx.x] >= 0 && row >= 0 && row < rows;
    const int run = hidden / segments;
    const int blocks = (run + 31) / 32;
    for (int i = threadIdx.x; i < hidden; i += blockDim.x) {
        const int64_t block = row * segments * blocks + i / run * blocks + i % run / 32;
        out[static_cast<int64_t>(blockIdx.x) * hidden + i] = here ? table[row * hidden + i] * scales[block] : 0.0f;
    }
}

// ---- norms (Zhang and Sennrich, 2019): out = x / sqrt(mean(x²) + epsilon) · weight

/** The sum over a block of 256, in every thread. */
static __device__ float block_sum(float x, float (&warps)[8]) {
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0) {
        warps[threadIdx.x / 32] = x;
    }
    __syncthreads();
    float sum = 0.0f;
    for (int i = 0; i < 8; i++) {
        sum += warps[i];
    }
    return sum;
}

/** A row; out may be x. Moves 8 · hidden bytes a row, besides the weight. */
extern "C" __global__ void __launch_bounds__(256)
    rms_norm(const float* x, const float* __restrict__ weight, float epsilon, int hidden, float* out) {
    __shared__ float warps[8];
    const int64_t row = static_cast<int64_t>(blockIdx.x) * hidden;
    float squares = 0.0f;
    for (int i = threadIdx.x; i < hidden; i += 256) {
        squares = fmaf(x[row + i], x[row + i], squares);
    }
    const float scale = 1.0f / sqrtf(block_sum(squares, warps) / hidden + epsilon);
    for (int i = threadIdx.x; i < hidden; i += 256) {
        out[row + i] = x[row + i] * scale * weight[i];
    }
}

/** x += y, then out = the norm of x; the bits of `add` and `rms_norm` after each other. Moves 16 · hidden bytes a row. */
extern "C" __global__ void __launch_bounds__(256) add_rms_norm(
    float* __restrict__ x, const float* __restrict__ y, const float* __restrict__ weight, float epsilon, int hidden,
    float* __restrict__ out) {
    __shared__ float warps[8];
    const int64_t row = static_cast<int64_t>(blockIdx.x) * hidden;
    float squares = 0.0f;
    for (int i = threadIdx.x; i < hidden; i += 256) {
        const float sum = x[row + i] + y[row + i];
        x[row + i] = sum;
        squares = fmaf(sum, sum, squares);
    }
    const float scale = 1.0f / sqrtf(block_sum(squares, warps) / hidden + epsilon);
    for (int i = threadIdx.x; i < hidden; i += 256) {
        out[row + i] = x[row + i] * scale * weight[i];
    }
}

// ---- positions (Su et al., 2021, RoFormer): pairs (i, i + head_size / 2) turned by the token's position, in place.
// cos, sin: (positions, head_size / 2). Moves 8 bytes an element.

extern "C" __global__ void __launch_bounds__(256) rotate(
    float* __restrict__ heads, const float* __restrict__ cos, const float* __restrict__ sin, const int* __restrict__ positions,
    int head_count, int head_size) {
    const int position = positions[blockIdx.x];
    if (position < 0) {
        return;
    }
    const int half = head_size / 2;
    const int64_t row = static_cast<int64_t>(blockIdx.x) * head_count * head_size;
    for (int pair = threadIdx.x; pair < head_count * half; pair += blockDim.x) {
        const int i = pair % half;
        const int64_t at = row + pair / half * head_size + i;
        const float c = cos[static_cast<int64_t>(position) * half + i];
        const float s = sin[static_cast<int64_t>(position) * half + i];
        const float a = heads[at];
        const float b = heads[at + half];
        heads[at] = a * c - b * s;
        heads[at + half] = b * c + a * s;
    }
}

// ---- elements: 12 bytes each for a sum or a gate, 4 + 2 for a cast

/** gate = silu(gate) · up (Shazeer, 2020, SwiGLU). */
extern "C" __global__ void __launch_bounds__(256) swiglu(float* __restrict__ gate, const float* __restrict__ up, int64_t n) {
    FOR_EACH(i, n) {
        gate[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
    }
}

extern "C" __global__ void __launch_bounds__(256) add(float* __restrict__ x, const float* __restrict__ y, int64_t n) {
    FOR_EACH(i, n) {
        x[i] += y[i];
    }
}

extern "C" __global__ void __launch_bounds__(256)
    add_bias(float* __restrict__ x, const float* __restrict__ bias, int columns, int64_t n) {
    FOR_EACH(i, n) {
        x[i] += bias[i % columns];
    }
}

/** out[i] = the balanced tree over parts[s · n + i], then a bias unless it is null. At most 63 segments. */
extern "C" __global__ void __launch_bounds__(256) sum_segments(
    const float* __restrict__ parts, int segments, const float* __restrict__ bias, int columns, int64_t n,
    float* __restrict__ out) {
    FOR_EACH(i, n) {
        SegmentSum sum = {};
        for (int s = 0; s < segments; s++) {
            sum.add(s, parts[s * n + i]);
        }
        out[i] = bias == nullptr ? sum.total(segments) : sum.total(segments) + bias[i % columns];
    }
}

template <typename From, typename To>
static __device__ void cast(const From* in, To* out, int64_t n) {
    FOR_EACH(i, n) {
        out[i] = narrow<To>(widen(in[i]));
    }
}

extern "C" __global__ void __launch_bounds__(256) cast_f32_bf16(const float* __restrict__ in, bf16* __restrict__ out, int64_t n) {
    cast(in, out, n);
}

extern "C" __global__ void __launch_bounds__(256) cast_f32_f16(const float* __restrict__ in, f16* __restrict__ out, int64_t n) {
    cast(in, out, n);
}

extern "C" __global__ void __launch_bounds__(256) cast_bf16_f32(const bf16* __restrict__ in, float* __restrict__ out, int64_t n) {
    cast(in, out, n);
}

extern "C" __global__ void __launch_bounds__(256) cast_f16_f32(const f16* __restrict__ in, float* __restrict__ out, int64_t n) {
    cast(in, out, n);
}

// ---- rows: out[i] = x[rows[i]], zeros for a row of -1. Moves 8 · columns bytes a row.

extern "C" __global__ void __launch_bounds__(256)
    gather_rows(const float* __restrict__ x, const int* __restrict__ rows, int columns, float* __restrict__ out) {
    const int64_t row = rows[blockIdx.x];
    for (int i = threadIdx.x; i < columns; i += blockDim.x) {
        out[static_cast<int64_t>(blockIdx.x) * columns + i] = row < 0 ? 0.0f : x[row * columns + i];
    }
}

// ---- argmax of a row: the lowest index of the largest; -1 where an element is NaN or +inf, or all are -inf. 4 · n bytes.

/** The better of two candidates: the larger value, of equals the lower index; index -1 is none. */
static __device__ __forceinline__ void better(float& value, int& index, float other, int at) {
    if (at >= 0 && (index < 0 || other > value || (other == value && at < index))) {
        value = other;
        index = at;
    }
}

extern "C" __global__ void __launch_bounds__(1024) argmax(const float* __restrict__ x, int n, int* __restrict__ out) {
    __shared__ float values[32];
    __shared__ int indices[32];
    const float* row = x + static_cast<int64_t>(blockIdx.x) * n;
    float value = 0.0f;
    int index = -1;
    bool bad = false;
    for (int i = threadIdx.x; i < n; i += 1024) {
        const float v = row[i];
        bad |= !(v < INFINITY);
        if (v > -INFINITY) {
            better(value, index, v, i);
        }
    }
    bad = __syncthreads_or(bad) != 0;
    for (int distance = 16; distance > 0; distance /= 2) {
        const float other = __shfl_xor_sync(ALL_LANES, value, distance);
        const int at = __shfl_xor_sync(ALL_LANES, index, distance);
        better(value, index, other, at);
    }
    if (threadIdx.x % 32 == 0) {
        values[threadIdx.x / 32] = value;
        indices[threadIdx.x / 32] = index;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int i = 1; i < 32; i++) {
            better(value, index, values[i], indices[i]);
        }
        out[blockIdx.x] = bad ? -1 : index;
    }
}
