#include "threads.hpp"

#include <sys/mman.h>

#include <array>
#include <new>
#include <vector>

// What a function may expect to find again (System V, x86-64) goes to the one stack; the rest comes from the other.
asm(R"(
.text
.type standin_switch, @function
standin_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
.size standin_switch, . - standin_switch
)");
extern "C" void standin_switch(void** from, void* to);

// Shared memory of all kernels: the linker marks a section's ends by its name.
extern "C" char __start_cuda_shared[];
extern "C" char __stop_cuda_shared[];

namespace standin {

Size3 current_thread;
Size3 current_block;
Size3 current_block_size;
Size3 current_grid_size;

namespace {

const size_t STACK = 64 << 10;
const int MOST_THREADS = 1024;

struct Barrier {
    unsigned generation = 0;
    int arrived = 0;
    int predicate = 0;
    int result[2] = {};
};

struct Warp {
    unsigned generation = 0;
    unsigned arrived = 0;
    uint64_t values[2][32] = {};
};

struct Fibre {
    void* stack_pointer;
    Size3 index;
    const unsigned* awaited; // a generation that must move on; null for one that can run
    unsigned seen;
    bool ended;
};

char* stacks() {
    static char* memory = [] {
        void* mapped = mmap(
            nullptr, STACK * MOST_THREADS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mapped == MAP_FAILED) {
            throw std::bad_alloc();
        }
        return static_cast<char*>(mapped);
    }();
    return memory;
}

struct Block {
    std::array<Fibre, MOST_THREADS> fibres;
    std::array<Warp, MOST_THREADS / 32> warps;
    Barrier barrier;
    int count = 0;
    int live = 0;
    int at = 0;
    bool stuck = false;
    void* caller = nullptr;
    void (*kernel)(const void*) = nullptr;
    const void* arguments = nullptr;
};

Block block;

/** Goes to the next fibre that can run; back to the caller when all have ended or none can. */
void next() {
    Fibre& mine = block.fibres[block.at];
    for (int step = 1; step <= block.count; step++) {
        const int index = block.at + step < block.count ? block.at + step : block.at + step - block.count;
        Fibre& fibre = block.fibres[index];
        if (fibre.ended || (fibre.awaited != nullptr && *fibre.awaited == fibre.seen)) {
            continue;
        }
        fibre.awaited = nullptr;
        current_thread = fibre.index;
        if (index != block.at) {
            block.at = index;
            standin_switch(&mine.stack_pointer, fibre.stack_pointer);
        }
        return;
    }
    block.stuck = block.live > 0;
    standin_switch(&mine.stack_pointer, block.caller);
}

void release_barrier() {
    Barrier& barrier = block.barrier;
    barrier.result[barrier.generation & 1] = barrier.predicate;
    barrier.predicate = 0;
    barrier.arrived = 0;
    barrier.generation++;
}

void begin_fibre() {
    block.kernel(block.arguments);
    block.fibres[block.at].ended = true;
    block.live--;
    if (block.live > 0 && block.barrier.arrived == block.live) {
        release_barrier(); // a thread that has ended counts as arrived
    }
    next();
    __builtin_unreachable();
}

void wait(const unsigned& generation, unsigned seen) {
    Fibre& mine = block.fibres[block.at];
    mine.awaited = &generation;
    mine.seen = seen;
    next();
}

bool run_block() {
    block.warps = {};
    block.barrier = {};
    block.live = block.count;
    block.stuck = false;
    for (int i = 0; i < block.count; i++) {
        void** top = reinterpret_cast<void**>(stacks() + STACK * (i + 1));
        *--top = nullptr; // where a caller's return address would be: the stack is then aligned as after a call
        *--top = reinterpret_cast<void*>(&begin_fibre);
        top -= 6; // the registers
        const unsigned x = i % current_block_size.x;
        const unsigned y = i / current_block_size.x % current_block_size.y;
        const unsigned z = i / current_block_size.x / current_block_size.y;
        block.fibres[i] = {top, {x, y, z}, nullptr, 0, false};
    }
    block.at = 0;
    current_thread = block.fibres[0].index;
    standin_switch(&block.caller, block.fibres[0].stack_pointer);
    return !block.stuck;
}

} // namespace

int lane() { return block.at % 32; }

int block_barrier(int predicate) {
    Barrier& barrier = block.barrier;
    const unsigned mine = barrier.generation;
    barrier.predicate |= predicate != 0;
    if (++barrier.arrived == block.live) {
        release_barrier();
    } else {
        wait(barrier.generation, mine);
    }
    return barrier.result[mine & 1];
}

const uint64_t* exchange(unsigned mask, uint64_t value) {
    Warp& warp = block.warps[block.at / 32];
    const unsigned mine = warp.generation;
    warp.values[mine & 1][lane()] = value;
    warp.arrived |= 1u << lane();
    if ((warp.arrived & mask) == mask) {
        warp.arrived = 0;
        warp.generation++;
    } else {
        wait(warp.generation, mine);
    }
    return warp.values[mine & 1];
}

std::string run_grid(Size3 grid, Size3 size, void (*kernel)(const void*), const void* arguments) {
    std::memset(__start_cuda_shared, 0xff, __stop_cuda_shared - __start_cuda_shared); // nobody has written to it
    current_grid_size = grid;
    current_block_size = size;
    block.count = static_cast<int>(size.x * size.y * size.z);
    block.kernel = kernel;
    block.arguments = arguments;
    for (unsigned z = 0; z < grid.z; z++) {
        for (unsigned y = 0; y < grid.y; y++) {
            for (unsigned x = 0; x < grid.x; x++) {
                current_block = {x, y, z};
                if (!run_block()) {
                    return "threads of block (" + std::to_string(x) + ", " + std::to_string(y) + ", " + std::to_string(z) +
                        ") wait for others that do not come: a barrier or a shuffle that not all reach";
                }
            }
        }
    }
    return {};
}

} // namespace standin
