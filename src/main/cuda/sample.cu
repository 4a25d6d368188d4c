// Draws an id of a row of logits: temperature, min-p, top-k, top-p, and one random number (tensor.Draws). A block has a row and
// reads it anew for each question that it asks.
//
// Weights, exponentials in 0..1, are added as integers, in units that keep a row's sum below 2^63. Such sums are the same in any
// order: threads add as they come, and an id depends on its own row and nothing else.

#include "numeric.cuh"

constexpr int SAMPLERS = 1024; // threads of a block
constexpr int WARPS = SAMPLERS / 32;
constexpr int DIGIT = 11; // bits of a key that are told apart at once
constexpr int BINS = 1 << DIGIT;

using Mass = unsigned long long;

/** How a row is drawn from; DeviceSampler.java writes it. */
struct Draw {
    double uniform;
    double top_p;
    float inverse_temperature;
    float min_p;
    int top_k;
    int row;
};

/** A sum in shared memory, where devices add 32 bits at once, and 64 only by trying until nobody else did. */
struct SharedSum {
    unsigned low;
    unsigned high;

    __device__ __forceinline__ void add(Mass mass) {
        const unsigned part = static_cast<unsigned>(mass);
        const unsigned carry = atomicAdd(&low, part) > ~part ? 1 : 0;
        const unsigned rest = static_cast<unsigned>(mass >> 32) + carry;
        if (rest != 0) {
            atomicAdd(&high, rest);
        }
    }

    __device__ __forceinline__ Mass value() const { return static_cast<Mass>(high) << 32 | low; }
};

/** Where in an order a sum is reached, and the sum of all before it. */
struct Place {
    int at;
    Mass before;
};

/** What the threads of a block share. */
struct Room {
    float largest[WARPS];
    Mass sums[WARPS];
    Place place;
    SharedSum bins[BINS];
};

// ---- sums in an order: all threads of the block ask together, and all get the answer

/**
 * The first of n masses at which the sum of those up to it is what is wanted, or more.
 *
 * @param wanted of the sum of all, which is more than 0: from 1 to that sum
 */
template <typename Masses, typename Wanted>
static __device__ __forceinline__ Place reach(int n, Masses masses, Wanted wanted, Room& room) {
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    const int run = (n + SAMPLERS - 1) / SAMPLERS * 32; // of a warp, one behind the other
    const int from = min(n, warp * run);
    const int to = min(n, from + run);
    Mass mine = 0;
#pragma unroll 4
    for (int i = from + lane; i < to; i += 32) {
        mine += masses(i);
    }
    mine = warp_sum(mine);
    if (lane == 0) {
        room.sums[warp] = mine;
    }
    __syncthreads();
    Mass sum = 0;
#pragma unroll 4
    for (int i = 0; i < WARPS; i++) {
        sum += room.sums[i];
    }
    const Mass enough = wanted(sum);
    Mass before = 0;
    int reached = 0;
#pragma unroll 1
    while (reached < WARPS - 1 && before + room.sums[reached] < enough) {
        before += room.sums[reached++];
    }
    if (warp == reached) {
        for (int at = from; at < to && before < enough; at += 32) {
            const Mass own = at + lane < to ? masses(at + lane) : 0;
            Mass up_to = own;
            for (int distance = 1; distance < 32; distance *= 2) {
                const Mass lower = __shfl_up_sync(ALL_LANES, up_to, distance);
                up_to += lane < distance ? 0 : lower;
            }
            up_to += before;
            if (up_to >= enough && up_to - own < enough) {
                room.place = {at + lane, up_to - own};
            }
            before = __shfl_sync(ALL_LANES, up_to, 31);
        }
    }
    __syncthreads();
    return room.place;
}

/** A mass that stands in an order by keys, the largest first. */
struct Item {
    unsigned key;
    Mass mass;
};

/** The key at which n items reach what is wanted, as by `reach`, and how much of it those with that key bring: a radix select. */
template <typename Items, typename Wanted>
static __device__ __forceinline__ Item reach_by_key(int n, Items items, Wanted wanted, Room& room) {
    unsigned known = 0; // the key's bits so far
    Mass rest = 0;      // of what is wanted, without what larger keys bring
#pragma unroll 1
    for (int shift = 2 * DIGIT; shift >= 0; shift -= DIGIT) {
        for (int bin = threadIdx.x; bin < BINS; bin += SAMPLERS) {
            room.bins[bin] = {0, 0};
        }
        __syncthreads();
#pragma unroll 4
        for (int i = threadIdx.x; i < n; i += SAMPLERS) {
            const Item item = items(i);
            if (item.mass != 0 && static_cast<uint64_t>(item.key) >> (shift + DIGIT) == known) {
                room.bins[item.key >> shift & (BINS - 1)].add(item.mass);
            }
        }
        __syncthreads();
        const auto largest_first = [&](int i) { return room.bins[BINS - 1 - i].value(); };
        const auto still = [&](Mass sum) { return rest = shift == 2 * DIGIT ? wanted(sum) : rest; };
        const Place bin = reach(BINS, largest_first, still, room);
        known = known << DIGIT | static_cast<unsigned>(BINS - 1 - bin.at);
        rest -= bin.before;
    }
    return {known, rest};
}

// ---- a row

/** Its largest logit, in every thread; NaN where one is NaN or +inf. */
static __device__ __forceinline__ float largest(const float* logits, int n, Room& room) {
    float most = -INFINITY;
    bool bad = false;
#pragma unroll 4
    for (int id = threadIdx.x; id < n; id += SAMPLERS) {
        bad |= !(logits[id] < INFINITY);
        most = fmaxf(most, logits[id]);
    }
    most = warp_max(most);
    if (threadIdx.x % 32 == 0) {
        room.largest[threadIdx.x / 32] = most;
    }
    bad = __syncthreads_or(bad) != 0;
    for (int warp = 0; warp < WARPS; warp++) {
        most = fmaxf(most, room.largest[warp]);
    }
    return bad ? NAN : most;
}

/** Bits that are ordered as the floats are. */
static __device__ __forceinline__ unsigned key_of(float x) {
    const unsigned bits = __float_as_uint(x);
    return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

static __device__ __forceinline__ float of_key(unsigned key) {
    return __uint_as_float((key & 0x80000000u) != 0 ? key & 0x7fffffffu : ~key);
}

/** Weights by id, 0 of what min-p and top-k leave out. */
struct Weights {
    const float* logits;
    float most;
    float inverse_temperature;
    float min_p;
    float least; // logit

    __device__ __forceinline__ float operator()(int id) const {
        const float logit = logits[id];
        const float weight = expf((logit - most) * inverse_temperature);
        return weight >= min_p && logit >= least ? weight : 0.0f;
    }
};

/**
 * out[i] = an id drawn of the row that draws[i] names, n logits; -1 where one is NaN or +inf, or all are -inf. Reads a row twice,
 * three times more for top-k, four for top-p: 4 · n bytes each, which a cache of the device may hold.
 */
extern "C" __global__ void __launch_bounds__(SAMPLERS, 1)
    sample(const float* __restrict__ logits, int n, const Draw* __restrict__ draws, int* __restrict__ out) {
    __shared__ Room room;
    const Draw draw = draws[blockIdx.x];
    const float* row = logits + static_cast<int64_t>(draw.row) * n;
    const float most = largest(row, n, room);
    if (!(most > -INFINITY)) {
        if (threadIdx.x == 0) {
            out[blockIdx.x] = -1;
        }
        return;
    }
    Weights weights = {row, most, draw.inverse_temperature, draw.min_p, -INFINITY};
    if (draw.top_k > 0 && draw.top_k < n) {
        const auto one = [=](int id) { return Item{key_of(row[id]), 1}; };
        const auto k = [=](Mass) { return static_cast<Mass>(draw.top_k); };
        weights.least = of_key(reach_by_key(n, one, k, room).key);
    }
    const float units = static_cast<float>(1ull << (31 + __clz(n))); // of a weight of 1
    const auto mass = [=](float weight) { return static_cast<Mass>(weight * units); };
    float edge = 0.0f; // less is not drawn, and as much only up to an id
    int last_at_edge = n;
    if (draw.top_p < 1) {
        const auto item = [=](int id) {
            const float weight = weights(id);
            return Item{__float_as_uint(weight), mass(weight)};
        };
        const auto share = [=](Mass sum) { return min(sum, max(1ull, static_cast<Mass>(ceil(draw.top_p * sum)))); };
        const Item found = reach_by_key(n, item, share, room);
        edge = __uint_as_float(found.key);
        const auto at_edge = [=](int id) { return static_cast<Mass>(weights(id) == edge ? 1 : 0); };
        const auto kept = [=](Mass) { return (found.mass + mass(edge) - 1) / mass(edge); };
        last_at_edge = reach(n, at_edge, kept, room).at;
    }
    const auto drawn = [=](int id) {
        const float weight = weights(id);
        return weight > edge || (weight == edge && id <= last_at_edge) ? mass(weight) : 0;
    };
    const auto chance = [=](Mass sum) { return min(sum, static_cast<Mass>(draw.uniform * sum) + 1); };
    const Place picked = reach(n, drawn, chance, room);
    if (threadIdx.x == 0) {
        out[blockIdx.x] = picked.at;
    }
}
