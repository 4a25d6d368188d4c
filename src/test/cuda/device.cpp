#include "device.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace standin {

namespace {

constexpr size_t GUARD = 256;
constexpr unsigned char GUARD_BYTE = 0xa5;
constexpr unsigned char UNWRITTEN = 0xff; // NaN in every floating type, -1 in every integer
constexpr int MOST_DEVICES = 8; // that a test may ask for later
constexpr size_t MOST_FREED = 64 << 20;
constexpr size_t LEAST_EXPORTED = 1 << 20; // smaller blocks are of no file

long long number(const char* name, long long otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr || *text == 0 ? otherwise : std::atoll(text);
}

bool all(const unsigned char* from, size_t count, unsigned char value) {
    return count == 0 || (from[0] == value && std::memcmp(from, from + 1, count - 1) == 0);
}

std::condition_variable_any& progress() {
    static std::condition_variable_any all;
    return all;
}

/** What a device does without anybody who waits for it: streams go on to what others wait for. */
class Engine {
public:
    Engine() : turning([this] { turn(); }) {}

    ~Engine() {
        {
            std::lock_guard<std::recursive_mutex> held(lock());
            over = true;
            progress().notify_all();
        }
        turning.join();
    }

private:
    void turn() {
        std::unique_lock<std::recursive_mutex> held(lock());
        while (!over) {
            bool waits = false;
            for (Device& device : devices()) {
                const auto now = device.streams;
                for (const auto& [handle, stream] : now) {
                    if (stream->done < stream->met) {
                        if (stream->try_run(stream->met)) {
                            progress().notify_all();
                        } else {
                            waits = true;
                        }
                    }
                }
            }
            // whose others may be in another process, which rings nothing
            progress().wait_for(held, waits ? std::chrono::microseconds(100) : std::chrono::seconds(1));
        }
    }

    bool over = false;
    std::thread turning;
};

void start_engine() {
    devices();
    progress(); // which are there for longer
    static Engine engine;
}

/** A block of memory that other processes can map too, by the file that it is of. */
std::shared_ptr<unsigned char> mapped(size_t bytes, int file) {
    void* start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (start == MAP_FAILED) {
        return nullptr;
    }
    return {static_cast<unsigned char*>(start), [bytes](unsigned char* block) { munmap(block, bytes); }};
}

std::string name_of(uintptr_t address, const Allocation& allocation) {
    char text[64];
    std::snprintf(text, sizeof(text), "0x%zx (%zu bytes)", static_cast<size_t>(address), allocation.bytes);
    return text;
}

} // namespace

Settings& settings() {
    static Settings all = {
        static_cast<int>(number("LOCKSTEP_CUDA_DEVICES", 1)),
        static_cast<int>(number("LOCKSTEP_CUDA_DRIVER", 13000)),
        static_cast<size_t>(number("LOCKSTEP_CUDA_MEMORY", 512 << 20)),
    };
    return all;
}

std::recursive_mutex& lock() {
    static std::recursive_mutex all;
    return all;
}

void wake() { progress().notify_all(); }

void rest() { progress().wait_for(lock(), std::chrono::milliseconds(10)); } // held once, by the call: given up meanwhile

std::vector<Device>& devices() {
    static std::vector<Device> all = [] {
        std::vector<Device> made(std::max(MOST_DEVICES, settings().devices));
        for (size_t i = 0; i < made.size(); i++) {
            made[i].ordinal = static_cast<int>(i);
        }
        return made;
    }();
    return all;
}

Device*& current_device() {
    static thread_local Device* current = nullptr;
    return current;
}

uint64_t this_thread() { return std::hash<std::thread::id>()(std::this_thread::get_id()); }

double milliseconds() {
    using namespace std::chrono;
    return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

// ---- memory

Result Device::allocate(size_t bytes, uintptr_t& address) {
    if (bytes == 0) {
        return INVALID_VALUE;
    }
    const bool refused = settings().refuse_after >= 0 && settings().refuse_after-- == 0;
    if (refused || bytes > settings().bytes - std::min(settings().bytes, used)) {
        return OUT_OF_MEMORY;
    }
    const size_t whole = bytes + 3 * GUARD;
    int file = -1;
    std::shared_ptr<unsigned char> block;
    if (bytes >= LEAST_EXPORTED) {
        file = memfd_create("stand-in", MFD_CLOEXEC);
        block = file >= 0 && ftruncate(file, static_cast<off_t>(whole)) == 0 ? mapped(whole, file) : nullptr;
        if (block == nullptr) {
            return OUT_OF_MEMORY;
        }
        block = {block.get(), [block, file](unsigned char*) { close(file); }};
    } else {
        block = {new unsigned char[whole], std::default_delete<unsigned char[]>()};
    }
    address = (reinterpret_cast<uintptr_t>(block.get()) + 2 * GUARD - 1) & ~(GUARD - 1); // 256 bytes, as the driver
    std::memset(block.get(), GUARD_BYTE, whole);
    std::memset(reinterpret_cast<void*>(address), UNWRITTEN, bytes);
    used += bytes;
    memory[address] = {bytes, std::move(block), file};
    return SUCCESS;
}

Result Device::release(uintptr_t address) {
    const auto found = memory.find(address);
    if (found == memory.end()) {
        return INVALID_VALUE;
    }
    inspect("cuMemFree");
    used -= found->second.bytes;
    std::memset(reinterpret_cast<void*>(address), UNWRITTEN, found->second.bytes);
    freed[address] = std::move(found->second);
    memory.erase(found);
    size_t kept = 0;
    for (const auto& entry : freed) {
        kept += entry.second.bytes;
    }
    while (kept > MOST_FREED) {
        inspect_freed(freed.begin()->first, freed.begin()->second);
        kept -= freed.begin()->second.bytes;
        freed.erase(freed.begin());
    }
    return fault;
}

namespace {

/** What an IPC handle says; 64 bytes with what is not used of them. */
struct Handle {
    int process;
    int file;
    int device;
    size_t offset;
    size_t bytes;
};

} // namespace

Result Device::expose(uintptr_t address, char* handle) const {
    const auto found = memory.find(address);
    if (found == memory.end() || found->second.file < 0) {
        return INVALID_VALUE;
    }
    const Allocation& own = found->second;
    const Handle made = {getpid(), own.file, ordinal, address - reinterpret_cast<uintptr_t>(own.block.get()), own.bytes};
    std::memset(handle, 0, 64);
    std::memcpy(handle, &made, sizeof(made));
    return SUCCESS;
}

Result Device::import(const char* handle, uintptr_t& address) {
    Handle made;
    std::memcpy(&made, handle, sizeof(made));
    if (made.process == getpid()) {
        return INVALID_CONTEXT; // as the driver says it
    }
    if (made.device != ordinal && !settings().reach) {
        return PEER_ACCESS_UNSUPPORTED;
    }
    const std::string name = "/proc/" + std::to_string(made.process) + "/fd/" + std::to_string(made.file);
    const int file = open(name.c_str(), O_RDWR | O_CLOEXEC);
    struct stat size = {};
    if (file < 0 || fstat(file, &size) != 0 || static_cast<size_t>(size.st_size) < made.offset + made.bytes) {
        if (file >= 0) {
            close(file);
        }
        return INVALID_HANDLE;
    }
    const auto block = mapped(static_cast<size_t>(size.st_size), file);
    close(file);
    if (block == nullptr) {
        return OUT_OF_MEMORY;
    }
    address = reinterpret_cast<uintptr_t>(block.get()) + made.offset;
    imports[address] = {made.bytes, block};
    return SUCCESS;
}

bool Device::holds(uintptr_t address, size_t bytes) const {
    return holds(memory, address, bytes) || holds(imports, address, bytes);
}

template <typename T>
bool Device::holds(const std::map<uintptr_t, T>& blocks, uintptr_t address, size_t bytes) {
    auto next = blocks.upper_bound(address);
    if (next == blocks.begin()) {
        return false;
    }
    const auto& [start, allocation] = *--next;
    return address - start <= allocation.bytes && bytes <= allocation.bytes - (address - start);
}

void Device::inspect(const std::string& after) {
    for (const auto& [address, allocation] : memory) {
        const auto* start = reinterpret_cast<const unsigned char*>(address);
        if (!all(start - GUARD, GUARD, GUARD_BYTE)) {
            fail(ILLEGAL_ADDRESS, after + ": a write before " + name_of(address, allocation));
        } else if (!all(start + allocation.bytes, GUARD, GUARD_BYTE)) {
            fail(ILLEGAL_ADDRESS, after + ": a write beyond " + name_of(address, allocation));
        }
    }
}

void Device::inspect_freed(uintptr_t address, const Allocation& allocation) {
    if (!all(reinterpret_cast<const unsigned char*>(address), allocation.bytes, UNWRITTEN)) {
        fail(ILLEGAL_ADDRESS, "a write to " + name_of(address, allocation) + " after it was freed");
    }
}

void Device::fail(Result why, const std::string& what) {
    if (fault == SUCCESS) {
        fault = why;
        std::fprintf(stderr, "CUDA stand-in, device %d: %s\n", ordinal, what.c_str());
    }
}

void Device::reset() {
    for (auto& [handle, stream] : streams) {
        stream->queue.clear();
        stream->done = stream->queued;
    }
    streams.clear();
    events.clear();
    memory.clear();
    freed.clear();
    imports.clear();
    peers.clear();
    used = 0;
    fault = SUCCESS;
}

// ---- streams

bool Stream::try_run(uint64_t number) {
    while (done < number) {
        if (running) {
            return false;
        }
        if (device->fault == SUCCESS) {
            running = true;
            const Operation operation = queue.front();
            const Result result = operation();
            running = false;
            if (result == PENDING && device->fault == SUCCESS) {
                return false;
            }
            if (result != SUCCESS && result != PENDING && device->fault == SUCCESS) {
                device->fault = result;
            }
        }
        queue.pop_front();
        done++;
    }
    return true;
}

void Stream::run_until(uint64_t number) {
    while (!try_run(number)) {
        rest();
    }
}

void Device::run_all(bool only_blocking) {
    const auto now = streams;
    for (const auto& [handle, stream] : now) {
        if (stream->blocking || !only_blocking) {
            stream->run_until(stream->queued);
        }
    }
}

bool find_stream(void* handle, std::shared_ptr<Stream>& stream) {
    stream = nullptr;
    if (reinterpret_cast<uintptr_t>(handle) <= 2) {
        return true;
    }
    for (Device& device : devices()) {
        const auto found = device.streams.find(static_cast<Stream*>(handle));
        if (found != device.streams.end()) {
            stream = found->second;
            return true;
        }
    }
    return false;
}

Result enqueue(void* handle, Operation operation, bool meets) {
    std::shared_ptr<Stream> stream;
    if (!find_stream(handle, stream)) {
        return INVALID_HANDLE;
    }
    Device* device = stream == nullptr ? current_device() : stream->device;
    if (device == nullptr || device->retained == 0) {
        return INVALID_CONTEXT;
    }
    if (device->fault != SUCCESS) {
        return device->fault;
    }
    if (stream == nullptr) {
        if (const Result refused = refuse_in_capture(CAPTURE_IMPLICIT)) {
            return refused;
        }
        device->run_all(true);
        const Result result = device->fault == SUCCESS ? operation() : device->fault;
        device->fault = device->fault == SUCCESS ? result : device->fault;
        return device->fault;
    }
    if (stream->capture != nullptr) {
        if (stream->capture->invalid) {
            return CAPTURE_INVALIDATED;
        }
        stream->capture->graph->operations.push_back(std::move(operation));
        stream->capture->graph->meets |= meets;
        stream->unjoined = stream.get() != stream->capture->origin;
        return SUCCESS;
    }
    stream->queue.push_back(std::move(operation));
    stream->queued++;
    if (meets) {
        stream->met = stream->queued;
        start_engine();
    }
    wake();
    return SUCCESS;
}

Result refuse_in_capture(Result why) {
    Result result = SUCCESS;
    for (Device& device : devices()) {
        for (const auto& [handle, stream] : device.streams) {
            Capture* capture = stream->capture.get();
            if (capture != nullptr && (capture->mode == 0 || (capture->mode == 1 && capture->thread == this_thread()))) {
                capture->invalid = true;
                result = why;
            }
        }
    }
    return result;
}

} // namespace standin
