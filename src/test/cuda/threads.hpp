// The threads of one block, as fibres of the calling thread: they run in turn, each until it waits for the others.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

namespace standin {

struct Size3 {
    unsigned x, y, z;
};

extern Size3 current_thread;
extern Size3 current_block;
extern Size3 current_block_size;
extern Size3 current_grid_size;

inline const Size3& thread_index() { return current_thread; }
inline const Size3& block_index() { return current_block; }
inline const Size3& block_size() { return current_block_size; }
inline const Size3& grid_size() { return current_grid_size; }

/** Runs a kernel, block by block. One at a time. @return what went wrong, or nothing */
std::string run_grid(Size3 grid, Size3 block, void (*kernel)(const void*), const void* arguments);

/** Waits for all threads of the block that have not ended. @return whether any brought a predicate */
int block_barrier(int predicate);

/** Gives a value to the lanes of the warp and waits for those of the mask. @return what all 32 lanes gave */
const uint64_t* exchange(unsigned mask, uint64_t value);

int lane();

template <typename T, typename Source>
T shuffle(unsigned mask, T value, Source source) {
    static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable<T>::value, "a value of a register");
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(value));
    bits = exchange(mask, bits)[source(lane())];
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}

} // namespace standin
