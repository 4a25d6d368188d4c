// All-reduce through memory that each rank keeps for it: Signals, then twice `capacity` bytes, for what a rank
// brings and for its share of the result. Kernels of all ranks run at the same time, and wait for each other.

#include <stddef.h>

#include "reduce.cuh"
#include "signal.cuh"

#define MOST_RANKS 15
#define MOST_BLOCKS 36

/** In front of what a rank brings; blocks of one number wait for each other. Turns only grow, so that a graph can repeat them. */
struct __align__(256) Signals {
    Source sources[MOST_RANKS + 1]; // what all bring, where this device reaches it; each tells the others its factor
    uint64_t arrived[MOST_BLOCKS][MOST_RANKS + 1]; // by rank: the fingerprint of its call, and the turn that its block has come to
    uint32_t turn[MOST_BLOCKS];
    uint32_t broken; // not 0 once a wait was in vain: nothing is exchanged any more, and what was told last stays
};

static_assert(
    sizeof(Signals) == 5120 && offsetof(Signals, broken) + sizeof(uint32_t) <= 5120 - 64,
    "HEAD of ExchangeMemory.java, and LEFT at its end, by which ranks say that they have left");

/** In the host's memory. */
struct Told {
    uint32_t ended; // by the host: not 0 where waits are to end
    uint32_t unused;
    uint64_t differing; // by the device: the fingerprint of another call, and 1 + the rank that came with it
};

static __device__ __forceinline__ Signals* signals_of(const Source& source) {
    return reinterpret_cast<Signals*>(const_cast<void*>(source.elements)) - 1;
}

static __device__ __forceinline__ uint64_t pair_of(uint32_t high, uint32_t low) { return static_cast<uint64_t>(high) << 32 | low; }

/** Waits for the same block of another rank. @return whether it came, with the same call; else nothing is exchanged any more */
static __device__ __forceinline__ bool meet_rank(
    Signals* mine, int me, int rank, uint32_t fingerprint, uint32_t turn, Told* told) {
    release_word(&signals_of(mine->sources[rank])->arrived[blockIdx.x][me], pair_of(fingerprint, turn));
    for (unsigned looks = 1;; looks++) {
        const uint64_t seen = acquire_word(&mine->arrived[blockIdx.x][rank]);
        const auto ahead = static_cast<int32_t>(static_cast<uint32_t>(seen) - turn);
        const auto theirs = static_cast<uint32_t>(seen >> 32);
        if (ahead == 0 && theirs != fingerprint) {
            release_word(&told->differing, pair_of(theirs, rank + 1));
            break;
        }
        if (ahead >= 0) { // who is further has compared
            return true;
        }
        if ((looks % 16 == 0 && acquire_word(&mine->broken) != 0) ||
            (looks % 256 == 0 && acquire_word(&told->ended) != 0)) { // which is in the host's memory, and slow
            break;
        }
        pause_thread();
    }
    release_word(&mine->broken, 1u);
    return false;
}

/** Waits for the same block of all ranks, whose writes it sees then. @return whether all came */
static __device__ __forceinline__ bool meet(
    Signals* mine, int me, int ranks, uint32_t fingerprint, uint32_t turn, Told* told) {
    const bool over = threadIdx.x == 0 && acquire_word(&mine->broken) != 0;
    if (__syncthreads_or(over) != 0) { // all ranks are told that this block is here, or none
        return false;
    }
    const int rank = static_cast<int>(threadIdx.x);
    const bool failed = rank < ranks && !meet_rank(mine, me, rank, fingerprint, turn, told);
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
 * reads the others'. @param fingerprint of the call, equal on all ranks
 */
template <typename T>
static __device__ __forceinline__ void exchange(
    Signals* mine, int me, int ranks, int64_t n, int64_t capacity, int op, int divisor, double factor, int two_shot,
    uint32_t fingerprint, Told* told, T* out) {
    const Source* sources = mine->sources;
    uint32_t turn = mine->turn[blockIdx.x];
    if (op == SCALED_SUM && static_cast<int>(threadIdx.x) < ranks) {
        signals_of(sources[threadIdx.x])->sources[me].factor = factor; // all blocks write the same
    }
    if (!meet(mine, me, ranks, fingerprint, ++turn, told)) {
        return;
    }
    const bool shares = two_shot != 0;
    auto* results = reinterpret_cast<T*>(static_cast<char*>(const_cast<void*>(sources[me].elements)) + capacity);
    const int64_t share = ((n + ranks - 1) / ranks + 3) / 4 * 4; // so that all begin where they can be loaded at once
    const int64_t from = shares ? min(n, share * me) : 0;
    const int64_t to = shares ? min(n, from + share) : n;
    reduce(sources, ranks, from, to - from, op, divisor, shares ? results : out);
    if (shares) {
        if (!meet(mine, me, ranks, fingerprint, ++turn, told)) {
            return;
        }
        for (int i = 0; i < ranks; i++) {
            const int rank = (me + i) % ranks; // not all from one at the same time
            const int64_t begin = min(n, share * rank);
            const auto* theirs = reinterpret_cast<const T*>(static_cast<const char*>(sources[rank].elements) + capacity);
            copy_share(theirs, min(n, begin + share) - begin, out + begin);
        }
    }
    if (meet(mine, me, ranks, fingerprint, ++turn, told) && threadIdx.x == 0) { // all have read what this rank brought
        mine->turn[blockIdx.x] = turn;
    }
}

#define EXCHANGE(name, T)                                                                                                \
    extern "C" __global__ void __launch_bounds__(256, 1) exchange_##name(                                                   \
        Signals* mine, int me, int ranks, int64_t n, int64_t capacity, int op, int divisor, double factor, int two_shot, \
        uint32_t fingerprint, Told* told, T* out) {                                                                      \
        exchange(mine, me, ranks, n, capacity, op, divisor, factor, two_shot, fingerprint, told, out);                   \
    }

EXCHANGE(f64, double)
EXCHANGE(f32, float)
EXCHANGE(f16, f16)
EXCHANGE(bf16, bf16)
EXCHANGE(i64, int64_t)
EXCHANGE(i32, int32_t)
EXCHANGE(i8, int8_t)
EXCHANGE(u8, uint8_t)
EXCHANGE(f8_e4m3, e4m3)
EXCHANGE(f8_e5m2, e5m2)
