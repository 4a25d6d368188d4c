// The paged cache, as attention reads it.
#pragma once

#include "numeric.cuh"

/** One key/value head of one sequence's cache. */
template <typename T>
struct Context {
    const T* cache;
    const int* table;
    int block_size;
    int kv_heads;
    int head;
    int head_size;

    __device__ __forceinline__ const T* at(int position) const {
        const int64_t block = table[position / block_size];
        return cache + ((block * kv_heads + head) * block_size + position % block_size) * head_size;
    }
};
