// Reductions of what lies still: each rank reads where its peers have it.

#include "reduce.cuh"

#define REDUCE(name, T)                                                                                                  \
    extern "C" __global__ void __launch_bounds__(256) reduce_##name(                                                     \
        const Source* sources, int ranks, int64_t from, int64_t n, int op, int divisor, T* out) {                        \
        reduce(sources, ranks, from, n, op, divisor, out);                                                               \
    }

REDUCE(f64, double)
REDUCE(f32, float)
REDUCE(f16, f16)
REDUCE(bf16, bf16)
REDUCE(i64, int64_t)
REDUCE(i32, int32_t)
REDUCE(i8, int8_t)
REDUCE(u8, uint8_t)
REDUCE(f8_e4m3, e4m3)
REDUCE(f8_e5m2, e5m2)
