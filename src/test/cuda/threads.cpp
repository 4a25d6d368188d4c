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
    bool paused;
};

} // namespace

struct Block {
    std::array<Fibre, MOST_THREADS> fibres;
    std::array<Warp, MOST_THREADS / 32> warps;
    Barrier barrier;
    int count = 0;
    int live = 0;
    int at = 0;
    bool stuck = false;
    bool paused = false; // until other kernels have run
    void* caller = nullptr;
    void (*kernel)(const void*) = nullptr;
    const void* arguments = nullptr;
    char* stacks;

    Block() {
        void* mapped = mmap(
            nullptr, STACK * MOST_THREADS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mapped == MAP_FAILED) {
            throw std::bad_alloc();
        }
        stacks = static_cast<char*>(mapped);
    }
};

namespace {

/** Those that no kernel is in; as many are made as kernels wait at the same time. */
std::vector<Block*>& idle_blocks() {
    static std::vector<Block*> all;
    return all;
}

Block* running = nullptr;

bool can_run(const Fibre& fibre) {
    return !fibre.ended && !fibre.paused && (fibre.awaited == nullptr || *fibre.awaited != fibre.seen);
}

/** Goes to the next fibre that can run; back to the caller when all have ended or none can. */
void next() {
    Block& block = *running;
    Fibre& mine = block.fibres[block.at];
    bool pauses = false;
    for (int step = 1; step <= block.count; step++) {
        const int index = block.at + step < block.count ? block.at + step : block.at + step - block.count;
        Fibre& fibre = block.fibres[index];
        pauses |= fibre.paused;
        if (!can_run(fibre)) {
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
    block.paused = pauses;
    block.stuck = block.live > 0 && !pauses;
    standin_switch(&mine.stack_pointer, block.caller);
}

void release_barrier() {
    Barrier& barrier = running->barrier;
    barrier.result[barrier.generation & 1] = barrier.predicate;
    barrier.predicate = 0;
    barrier.arrived = 0;
    barrier.generation++;
}

void begin_fibre() {
    Block& block = *running; // the same as long as it is not left
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
    Fibre& mine = running->fibres[running->at];
    mine.awaited = &generation;
    mine.seen = seen;
    next();
}

void begin_block(Block& block, Size3 size) {
    block.warps = {};
    block.barrier = {};
    block.live = block.count;
    for (int i = 0; i < block.count; i++) {
        void** top = reinterpret_cast<void**>(block.stacks + STACK * (i + 1));
        *--top = nullptr; // where a caller's return address would be: the stack is then aligned as after a call
        *--top = reinterpret_cast<void*>(&begin_fibre);
        top -= 6; // the registers
        const unsigned x = i % size.x;
        const unsigned y = i / size.x % size.y;
        const unsigned z = i / size.x / size.y;
        block.fibres[i] = {top, {x, y, z}, nullptr, 0, false, false};
    }
    block.at = 0;
}

/** Until all threads have ended, wait for each other in vain, or for other kernels. */
void run_block(Block& block) {
    block.stuck = false;
    block.paused = false;
    for (int i = 0; i < block.count; i++) {
        block.fibres[i].paused = false;
    }
    int first = block.at;
    while (!can_run(block.fibres[first])) {
        first = (first + 1) % block.count; // there is one: some were paused
    }
    block.at = first;
    block.fibres[first].awaited = nullptr;
    current_thread = block.fibres[first].index;
    Block* outer = running;
    running = &block;
    standin_switch(&block.caller, block.fibres[first].stack_pointer);
    running = outer;
}

} // namespace

int lane() { return running->at % 32; }

void pause() {
    running->fibres[running->at].paused = true;
    next();
}

int block_barrier(int predicate) {
    Block& block = *running;
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
    Warp& warp = running->warps[running->at / 32];
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

Run::Run(Size3 grid, Size3 size, void (*kernel)(const void*), std::vector<uint64_t> values)
    : grid(grid), size(size), arguments(std::move(values)) {
    if (idle_blocks().empty()) {
        idle_blocks().push_back(new Block);
    }
    block = idle_blocks().back();
    idle_blocks().pop_back();
    block->count = static_cast<int>(size.x * size.y * size.z);
    block->kernel = kernel;
    block->arguments = arguments.data();
}

Run::~Run() { idle_blocks().push_back(block); }

bool Run::go_on(std::string& wrong) {
    current_grid_size = grid;
    current_block_size = size;
    if (at == 0 && !begun) {
        std::memset(__start_cuda_shared, 0xff, __stop_cuda_shared - __start_cuda_shared); // nobody has written to it
    }
    for (; at < grid.x * grid.y * grid.z; at++) {
        current_block = {at % grid.x, at / grid.x % grid.y, at / grid.x / grid.y};
        if (!begun) {
            begin_block(*block, size);
            begun = true;
        }
        run_block(*block);
        if (block->paused) {
            return false;
        }
        begun = false;
        if (block->stuck) {
            wrong = "threads of block (" + std::to_string(current_block.x) + ", " + std::to_string(current_block.y) + ", " +
                std::to_string(current_block.z) +
                ") wait for others that do not come: a barrier or a shuffle that not all reach";
            return true;
        }
    }
    return true;
}

} // namespace standin
