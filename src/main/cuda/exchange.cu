// All-reduce through memory that each rank keeps for it: Signals, then twice `capacity` bytes, for what a rank
// brings and for its share of the result. Kernels of all ranks run at the same time, and wait for each other.

#include "reduce.cuh"
#include "signal.cuh"

#define MOST_RANKS 15
#define MOST_BLOCKS 36

/** In front of what a rank brings; blocks of one number wait for each other. Counters only grow, so that a graph can repeat it. */
struct __align__(256) Signals {
    uint32_t arrived[MOST_BLOCKS][MOST_RANKS + 1]; // by rank: the turn that its block has come to
    uint32_t turn[MOST_BLOCKS];
};

static __device__ __forceinline__ Signals* signals_of(const Source& source) {
    return reinterpret_cast<Signals*>(const_cast<void*>(source.elements)) - 1;
}

/** Waits for the same block of all ranks, whose writes it sees then. @return whether they came; else the wait was ended */
static __device__ __forceinline__ bool meet(
    const Source* sources, int me, int ranks, uint32_t turn, const uint32_t* ended) {
    __syncthreads();
    int failed = 0;
    if (static_cast<int>(threadIdx.x) < ranks) {
        release_word(&signals_of(sources[threadIdx.x])->arrived[blockIdx.x][me], turn);
        const uint32_t* theirs = &signals_of(sources[me])->arrived[blockIdx.x][threadIdx.x];
        for (unsigned looks = 1; static_cast<int32_t>(acquire_word(theirs) - turn) < 0; looks++) {
            if (looks % 256 == 0 && acquire_word(ended) != 0) { // which is in the host's memory, and slow
                failed = 1;
                break;
            }
            pause_thread();
        }
    }
    return __syncthreads_or(failed) == 0;
}

/** By the threads that joined those elements: each block sees what the same block of another rank wrote, no other's. */
template <typename T>
static __device__ __forceinline__ void copy_share(const T* from, int64_t n, T* out) {
    constexpr int WIDE = sizeof(T) == 8 ? 2 : 4;
    const int64_t thread = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const int64_t threads = static_cast<int64_t>(gridDim.x) * blockDim.x;
    const bool aligned = is_aligned<Pack<T, WIDE>>(out);
    for (int64_t i = thread; i < n / WIDE; i += threads) {
        const Pack<T, WIDE> pack = *reinterpret_cast<const Pack<T, WIDE>*>(from + i * WIDE);
        if (aligned) {
            *reinterpret_cast<Pack<T, WIDE>*>(out + i * WIDE) = pack;
        } else {
#pragma unroll
            for (int k = 0; k < WIDE; k++) {
                out[i * WIDE + k] = pack.of[k];
            }
        }
    }
    for (int64_t i = n / WIDE * WIDE + thread; i < n; i += threads) {
        out[i] = from[i];
    }
}

/**
 * out[i] = the join of what all ranks bring, for i below n. In one shot each reads everything; in two each joins its share, then
 * reads the others'. @param ended not 0 where the wait is to end
 */
template <typename T>
static __device__ __forceinline__ void exchange(
    const Source* sources, int me, int ranks, int64_t n, int64_t capacity, int op, int divisor, int two_shot,
    const uint32_t* ended, T* out) {
    Signals* mine = signals_of(sources[me]);
    uint32_t turn = mine->turn[blockIdx.x];
    if (!meet(sources, me, ranks, ++turn, ended)) {
        return;
    }
    const bool shares = two_shot != 0;
    auto* results = reinterpret_cast<T*>(static_cast<char*>(const_cast<void*>(sources[me].elements)) + capacity);
    const int64_t share = ((n + ranks - 1) / ranks + 3) / 4 * 4; // so that all begin where they can be loaded at once
    const int64_t from = shares ? min(n, share * me) : 0;
    const int64_t to = shares ? min(n, from + share) : n;
    reduce(sources, ranks, from, to - from, op, divisor, shares ? results : out);
    if (shares) {
        if (!meet(sources, me, ranks, ++turn, ended)) {
            return;
        }
        for (int i = 0; i < ranks; i++) {
            const int rank = (me + i) % ranks; // not all from one at the same time
            const int64_t begin = min(n, share * rank);
            const auto* theirs = reinterpret_cast<const T*>(static_cast<const char*>(sources[rank].elements) + capacity);
            copy_share(theirs, min(n, begin + share) - begin, out + begin);
        }
    }
    if (meet(sources, me, ranks, ++turn, ended) && threadIdx.x == 0) { // all have read what this rank brought
        mine->turn[blockIdx.x] = turn;
    }
}

#define EXCHANGE(name, T)                                                                                                \
    extern "C" __global__ void __launch_bounds__(256, 1) exchange_##name(                                                   \
        const Source* sources, int me, int ranks, int64_t n, int64_t capacity, int op, int divisor, int two_shot,        \
        const uint32_t* ended, T* out) {                                                                                 \
        exchange(sources, me, ranks, n, capacity, op, divisor, two_shot, ended, out);                                    \
    }

EXCHANGE(f64, double)
EXCHANGE(f32, float)
EXCHANGE(f16, f16)
EXCHANGE(bf16, bf16)
EXCHANGE(i64, int64_t)
EXCHANGE(i32, int32_t)
EXCHANGE(i8, int8_t)
EXCHANGE(u8, uint8_t)
