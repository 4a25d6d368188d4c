// The threads of one block, as fibres of the calling thread: they run in turn, each until it waits for the others.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

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

/**
 * A kernel that runs, block by block. Where its threads wait for another kernel's it stands still, and others run, until it is
 * asked to go on.
 */
class Run {
  public:
    Run(Size3 grid, Size3 block, void (*kernel)(const void*), std::vector<uint64_t> arguments);
    ~Run();
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    /** Goes on. @return whether it ended; @param wrong what went wrong, if anything did */
    bool go_on(std::string& wrong);

  private:
    struct Block* block;
    Size3 grid;
    Size3 size;
    unsigned at = 0; // blocks that ended
    bool begun = false; // the one after them
    std::vector<uint64_t> arguments;
};

/** Lets the other threads run, and other kernels where all of this one's wait so. */
void pause();

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
