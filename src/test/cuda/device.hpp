// The devices of the stand-in: memory, streams as queues, sticky faults. Everything under one lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace standin {

using Result = int; // CUresult

constexpr Result SUCCESS = 0;
constexpr Result INVALID_VALUE = 1;
constexpr Result OUT_OF_MEMORY = 2;
constexpr Result NOT_INITIALIZED = 3;
constexpr Result NO_DEVICE = 100;
constexpr Result INVALID_DEVICE = 101;
constexpr Result INVALID_IMAGE = 200;
constexpr Result INVALID_CONTEXT = 201;
constexpr Result NO_BINARY_FOR_GPU = 209;
constexpr Result INVALID_PTX = 218;
constexpr Result UNSUPPORTED_PTX_VERSION = 222;
constexpr Result INVALID_HANDLE = 400;
constexpr Result NOT_FOUND = 500;
constexpr Result NOT_READY = 600;
constexpr Result ILLEGAL_ADDRESS = 700;
constexpr Result PEER_ACCESS_UNSUPPORTED = 217;
constexpr Result PEER_ACCESS_ALREADY_ENABLED = 704;
constexpr Result TOO_MANY_PEERS = 711;
constexpr Result LAUNCH_FAILED = 719;
constexpr Result NOT_SUPPORTED = 801;
constexpr Result CAPTURE_UNSUPPORTED = 900;
constexpr Result CAPTURE_INVALIDATED = 901;
constexpr Result CAPTURE_UNMATCHED = 903;
constexpr Result CAPTURE_UNJOINED = 904;
constexpr Result CAPTURE_IMPLICIT = 906;
constexpr Result CAPTURED_EVENT = 907;
constexpr Result CAPTURE_WRONG_THREAD = 908;

struct Device;

/** What an operation says that waits for another stream, or for another rank: it is asked again. */
constexpr Result PENDING = -1;

/** Something queued; a fault of the device if it is neither SUCCESS nor PENDING. */
using Operation = std::function<Result()>;

/** A list of operations that was captured, in the order of the calls. */
struct Graph {
    std::vector<Operation> operations;
    bool meets = false; // others of the same number, on other devices
};

struct Capture {
    std::shared_ptr<Graph> graph;
    struct Stream* origin;
    uint64_t thread;
    int mode; // 0 global, 1 of the thread, 2 relaxed
    bool invalid = false;
};

/**
 * A queue. What is in it runs no sooner than somebody waits for it, so that what nobody waited for has never happened: a
 * missing synchronisation shows every time.
 */
struct Stream {
    Device* device;
    bool blocking; // for the default stream
    int priority = 0;
    std::deque<Operation> queue;
    uint64_t queued = 0;
    uint64_t done = 0;
    uint64_t met = 0; // the last operation that others, on other devices, wait for
    std::shared_ptr<Capture> capture;
    bool running = false;  // who runs it asks for it again: it waits for itself
    bool unjoined = false; // of a capture that began elsewhere: the origin has not waited for it yet

    explicit Stream(Device* device, bool blocking) : device(device), blocking(blocking) {}

    /** Runs what can be run, up to an operation; whether it got there. */
    bool try_run(uint64_t number);

    /** The same, waiting, without the lock, for what other threads have to do first. */
    void run_until(uint64_t number);
};

struct Event {
    std::shared_ptr<Stream> stream; // null: never recorded
    uint64_t number = 0;
    std::shared_ptr<double> milliseconds; // when it was reached
    std::shared_ptr<Capture> capture;     // recorded in a capture: not a point in time
};

/** Device memory: host memory between guards. */
struct Allocation {
    size_t bytes;
    std::shared_ptr<unsigned char> block;
    int file = -1; // that the block is of, where other processes can map it; without a name, so that none is left
};

/** Memory of another process. */
struct Import {
    size_t bytes;
    std::shared_ptr<unsigned char> block;
};

struct Device {
    int ordinal = 0;
    int retained = 0; // of the primary context
    bool held = false; // by a library that has worked on it: until its process ends
    size_t used = 0;
    std::set<int> peers; // whose memory its kernels may read
    Result fault = SUCCESS; // stays until the last one releases the context, and, where a library holds it, beyond
    std::map<uintptr_t, Allocation> memory;
    std::map<uintptr_t, Allocation> freed; // kept for a while: who uses it is told
    std::map<uintptr_t, Import> imports;
    std::map<Stream*, std::shared_ptr<Stream>> streams;
    std::map<Event*, std::unique_ptr<Event>> events;

    Result allocate(size_t bytes, uintptr_t& address);
    Result release(uintptr_t address);

    /** Whether so many bytes from an address on are of one allocation, or one import. */
    bool holds(uintptr_t address, size_t bytes) const;

    /** Writes the 64 bytes by which other processes import an allocation. */
    Result expose(uintptr_t address, char* handle) const;
    Result import(const char* handle, uintptr_t& address);

    /** Looks at the guards; a write there is a fault, told on stderr. @param after what ran last */
    void inspect(const std::string& after);

    /** Looks whether somebody wrote to what was freed. */
    void inspect_freed(uintptr_t address, const Allocation& allocation);

    void fail(Result fault, const std::string& why);
    void run_all(bool only_blocking);

    /** Forgets everything, as the end of a context does. */
    void reset();

private:
    template <typename T>
    static bool holds(const std::map<uintptr_t, T>& blocks, uintptr_t address, size_t bytes);
};

/** Settings, from the environment at first; tests change them by the functions of control.cpp. */
struct Settings {
    int devices; // that are visible
    int driver_version;
    size_t bytes; // of each device
    size_t peers = 8; // of a device at most
    int64_t fault_after = -1; // launches until one fails, -1 for never
    Result fault = ILLEGAL_ADDRESS;
    int64_t refuse_after = -1; // allocations until one is refused
    int64_t refuse_pinned_after = -1; // the same of memory of the host
    int64_t launches = 0;
    int64_t graph_launches = 0;
    int64_t copies_up = 0; // from the host's memory
    int64_t copies_down = 0; // to it
    int64_t bytes_up = 0;
    int64_t bytes_down = 0;
    int64_t waits = 0; // calls that may wait for all that a device was given
    bool reach = true; // whether devices reach each other
    bool garbled = false; // whether what they then read is something else
    std::map<int, std::pair<int, int>> capabilities; // of a device, if not 9.0
    int hurt_device = -1; // whose kernels that exchange go wrong
    bool hurt_waits = false; // for ever, rather than to come to another result
    bool held = false; // whether kernels stand still
};

Settings& settings();
std::recursive_mutex& lock();

/** Wakes who waits in {@link Stream#run_until}: something was queued, or will not come any more. */
void wake();

/** Waits, without the lock, until somebody is woken, or for a moment. */
void rest();
std::vector<Device>& devices();

/** Whether a device reads and writes the host's memory there by itself. */
bool is_pinned(uintptr_t address);

/** Blocks of such memory that nobody has freed. */
size_t pinned_blocks();

/** The calling thread's, or null. */
Device*& current_device();

/** The stream of a handle: null for the default stream; throws nothing, @return false for a handle that is none. */
bool find_stream(void* handle, std::shared_ptr<Stream>& stream);

/**
 * Queues, captures, or, on the default stream, waits for the blocking streams and does it at once.
 *
 * @param meets whether it waits for operations of other devices, and they for it: then the stream goes on to it by itself
 */
Result enqueue(void* stream, Operation operation, bool meets = false);

/** Refuses what may not be called while something is being captured, and spoils that capture. */
Result refuse_in_capture(Result why);

uint64_t this_thread();
double milliseconds();

} // namespace standin
