// Words by which kernels of several devices, or of several processes, wait for each other (as vLLM's custom_all_reduce.cuh does).
#pragma once

#include <stdint.h>

#ifdef __CUDACC__

/** What this block wrote before, and saw of others, is seen by who acquires the word. */
static __device__ __forceinline__ void release_word(uint32_t* word, uint32_t value) {
    asm volatile("st.release.sys.global.u32 [%1], %0;" ::"r"(value), "l"(word) : "memory");
}

static __device__ __forceinline__ void release_word(uint64_t* word, uint64_t value) {
    asm volatile("st.release.sys.global.u64 [%1], %0;" ::"l"(value), "l"(word) : "memory");
}

static __device__ __forceinline__ uint32_t acquire_word(const uint32_t* word) {
    uint32_t value;
    asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(word) : "memory");
    return value;
}

static __device__ __forceinline__ uint64_t acquire_word(const uint64_t* word) {
    uint64_t value;
    asm volatile("ld.acquire.sys.global.u64 %0, [%1];" : "=l"(value) : "l"(word) : "memory");
    return value;
}

/** Between two looks at a word. */
static __device__ __forceinline__ void pause_thread() {}

#else // on the host: the stand-in's dialect

template <typename T>
static inline void release_word(T* word, T value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

template <typename T>
static inline T acquire_word(const T* word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

static inline void pause_thread() { standin::pause(); }

#endif
