// libcuda.so.1 without a GPU: start, devices, contexts, memory, copies.

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "api.hpp"

using namespace standin;

namespace {

bool started = false;

/** Host memory that a device reads and writes by itself: address to bytes. */
std::map<uintptr_t, size_t>& pinned() {
    static std::map<uintptr_t, size_t> all;
    return all;
}

bool is_pinned(const void* host, size_t bytes) {
    const auto address = reinterpret_cast<uintptr_t>(host);
    auto next = pinned().upper_bound(address);
    return next != pinned().begin() && address + bytes <= std::prev(next)->first + std::prev(next)->second;
}

Result device_of(int ordinal, Device*& device) {
    if (!started) {
        return NOT_INITIALIZED;
    }
    if (ordinal < 0 || ordinal >= settings().devices) {
        return INVALID_DEVICE;
    }
    device = &devices()[ordinal];
    return SUCCESS;
}

bool on_device(uintptr_t address, size_t bytes) {
    for (const Device& device : devices()) {
        if (device.holds(address, bytes)) {
            return true;
        }
    }
    return false;
}

/** Copies of one direction, which are counted; null counters for those that stay on devices. */
struct Counted {
    int64_t* copies = nullptr;
    int64_t* bytes = nullptr;
};

/** Where a copy waits for it although its stream would not: the host side may move. */
Result copy(void* to, const void* from, size_t bytes, void* stream, bool waits, Counted counted = {}) {
    Device* device;
    if (const Result bad = working(device)) {
        return bad;
    }
    const Result queued = enqueue(stream, [=] {
        std::memcpy(to, from, bytes);
        if (counted.copies != nullptr) {
            ++*counted.copies;
            *counted.bytes += static_cast<int64_t>(bytes);
        }
        return SUCCESS;
    });
    std::shared_ptr<Stream> queue;
    if (queued == SUCCESS && waits && find_stream(stream, queue) && queue != nullptr && queue->capture == nullptr) {
        queue->run_until(queue->queued);
        return device->fault;
    }
    return queued;
}

Result copy_up(uintptr_t to, const void* from, size_t bytes, void* stream) {
    if (from == nullptr || !on_device(to, bytes)) {
        return INVALID_VALUE;
    }
    return copy(reinterpret_cast<void*>(to), from, bytes, stream, !is_pinned(from, bytes), {&settings().copies_up, &settings().bytes_up});
}

Result copy_down(void* to, uintptr_t from, size_t bytes, void* stream) {
    if (to == nullptr || !on_device(from, bytes)) {
        return INVALID_VALUE;
    }
    return copy(to, reinterpret_cast<const void*>(from), bytes, stream, !is_pinned(to, bytes), {&settings().copies_down, &settings().bytes_down});
}

Result copy_over(uintptr_t to, uintptr_t from, size_t bytes, void* stream) {
    if (!on_device(to, bytes) || !on_device(from, bytes)) {
        return INVALID_VALUE;
    }
    Device* device;
    if (const Result bad = working(device)) {
        return bad;
    }
    if (settings().garbled && !device->holds(from, bytes)) {
        return enqueue(stream, [=] {
            std::memset(reinterpret_cast<void*>(to), 0x5a, bytes);
            return SUCCESS;
        });
    }
    return copy(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes, stream, false);
}

template <typename T>
Result fill(uintptr_t to, T value, size_t count, void* stream) {
    Device* device;
    if (const Result bad = working(device)) {
        return bad;
    }
    if (!on_device(to, count * sizeof(T))) {
        return INVALID_VALUE;
    }
    return enqueue(stream, [=] {
        std::fill_n(reinterpret_cast<T*>(to), count, value);
        return SUCCESS;
    });
}

} // namespace

size_t standin::pinned_blocks() { return pinned().size(); }

bool standin::is_pinned(uintptr_t address) { return ::is_pinned(reinterpret_cast<const void*>(address), 1); }

// ---- start

API cuInit(unsigned flags) {
    Call call;
    if (flags != 0) {
        return INVALID_VALUE;
    }
    if (settings().devices == 0) {
        return NO_DEVICE;
    }
    started = true;
    return SUCCESS;
}

API cuDriverGetVersion(int* version) {
    *version = settings().driver_version;
    return SUCCESS;
}

API cuGetErrorName(Result error, const char** name) {
    static const std::map<Result, const char*> names = {
        {SUCCESS, "CUDA_SUCCESS"},
        {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
        {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
        {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"},
        {NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
        {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"},
        {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
        {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
        {NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
        {INVALID_PTX, "CUDA_ERROR_INVALID_PTX"},
        {UNSUPPORTED_PTX_VERSION, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"},
        {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
        {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
        {NOT_READY, "CUDA_ERROR_NOT_READY"},
        {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"},
        {PEER_ACCESS_UNSUPPORTED, "CUDA_ERROR_PEER_ACCESS_UNSUPPORTED"},
        {PEER_ACCESS_ALREADY_ENABLED, "CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED"},
        {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"},
        {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED"},
        {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
        {CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"},
        {CAPTURE_UNMATCHED, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED"},
        {CAPTURE_UNJOINED, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED"},
        {CAPTURE_IMPLICIT, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT"},
        {CAPTURED_EVENT, "CUDA_ERROR_CAPTURED_EVENT"},
        {CAPTURE_WRONG_THREAD, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD"},
    };
    const auto found = names.find(error);
    *name = found == names.end() ? nullptr : found->second;
    return found == names.end() ? INVALID_VALUE : SUCCESS;
}

API cuGetErrorString(Result error, const char** text) { return cuGetErrorName(error, text); }

// ---- devices

API cuDeviceGetCount(int* count) {
    Call call;
    *count = settings().devices;
    return started ? SUCCESS : NOT_INITIALIZED;
}

API cuDeviceGet(int* device, int ordinal) {
    Call call;
    Device* found;
    *device = ordinal;
    return device_of(ordinal, found);
}

API cuDeviceGetName(char* name, int length, int) {
    const char* other = std::getenv("LOCKSTEP_CUDA_NAME"); // under which tests take it for a real one
    std::snprintf(name, length, "%s", other == nullptr ? "Stand-in on the host" : other);
    return SUCCESS;
}

API cuDeviceTotalMem_v2(size_t* bytes, int) {
    *bytes = settings().bytes;
    return SUCCESS;
}

API cuDeviceGetUuid(char* uuid, int device) {
    std::memcpy(uuid, "lockstep standin", 16);
    uuid[15] = static_cast<char>(device);
    return SUCCESS;
}

API cuDeviceGetUuid_v2(char* uuid, int device) { return cuDeviceGetUuid(uuid, device); }

API cuDeviceGetPCIBusId(char* text, int length, int device) {
    std::snprintf(text, length, "0000:%02x:00.0", device + 1);
    return SUCCESS;
}

API cuDeviceGetByPCIBusId(int* device, const char* text) {
    unsigned bus = 0;
    if (std::sscanf(text, "%*x:%x", &bus) != 1) {
        return INVALID_VALUE;
    }
    return cuDeviceGet(device, static_cast<int>(bus) - 1);
}

API cuDeviceGetAttribute(int* value, int attribute, int device) {
    static const std::map<int, int> values = {
        {1, 1024},        // MAX_THREADS_PER_BLOCK
        {2, 1024},        // MAX_BLOCK_DIM_X
        {3, 1024},        // MAX_BLOCK_DIM_Y
        {4, 64},          // MAX_BLOCK_DIM_Z
        {5, 2147483647},  // MAX_GRID_DIM_X
        {6, 65535},       // MAX_GRID_DIM_Y
        {7, 65535},       // MAX_GRID_DIM_Z
        {8, 48 << 10},    // MAX_SHARED_MEMORY_PER_BLOCK
        {10, 32},         // WARP_SIZE
        {12, 65536},      // MAX_REGISTERS_PER_BLOCK
        {13, 1000000},    // CLOCK_RATE, kHz
        {16, 4},          // MULTIPROCESSOR_COUNT
        {36, 1000000},    // MEMORY_CLOCK_RATE, kHz
        {37, 64},         // GLOBAL_MEMORY_BUS_WIDTH
        {38, 4 << 20},    // L2_CACHE_SIZE
        {41, 1},          // UNIFIED_ADDRESSING
        {75, 9},          // COMPUTE_CAPABILITY_MAJOR
        {76, 0},          // COMPUTE_CAPABILITY_MINOR
        {97, 227 << 10},  // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
    };
    const auto found = values.find(attribute);
    const auto capability = settings().capabilities.find(device);
    if ((attribute == 75 || attribute == 76) && capability != settings().capabilities.end()) {
        *value = attribute == 75 ? capability->second.first : capability->second.second;
        return SUCCESS;
    }
    *value = attribute == 33 ? device + 1 : found == values.end() ? 0 : found->second; // 33: PCI_BUS_ID
    return SUCCESS;
}

// ---- contexts: primary ones only, whose handles are their devices

API cuDevicePrimaryCtxRetain(void** context, int ordinal) {
    Call call;
    Device* device;
    if (const Result bad = device_of(ordinal, device)) {
        return bad;
    }
    device->retained++;
    *context = device;
    return SUCCESS;
}

API cuDevicePrimaryCtxRelease_v2(int ordinal) {
    Call call;
    Device* device;
    if (const Result bad = device_of(ordinal, device)) {
        return bad;
    }
    if (device->retained == 0) {
        return INVALID_CONTEXT;
    }
    if (--device->retained == 0 && !(device->held && device->fault != SUCCESS)) {
        device->reset();
    }
    return SUCCESS;
}

API cuDevicePrimaryCtxGetState(int ordinal, unsigned* flags, int* active) {
    Call call;
    Device* device;
    if (const Result bad = device_of(ordinal, device)) {
        return bad;
    }
    *flags = 0;
    *active = device->retained > 0;
    return SUCCESS;
}

API cuCtxSetCurrent(void* context) {
    Call call;
    if (context != nullptr && static_cast<Device*>(context)->retained == 0) {
        return INVALID_CONTEXT;
    }
    current_device() = static_cast<Device*>(context);
    return SUCCESS;
}

API cuCtxGetCurrent(void** context) {
    *context = current_device();
    return SUCCESS;
}


namespace {
std::vector<Device*>& pushed() {
    static thread_local std::vector<Device*> stack;
    return stack;
}
} // namespace

API cuCtxPushCurrent_v2(void* context) {
    Device* before = current_device();
    const Result result = cuCtxSetCurrent(context);
    if (result == SUCCESS) {
        pushed().push_back(before);
    }
    return result;
}

API cuCtxPopCurrent_v2(void** context) {
    if (pushed().empty()) {
        return INVALID_CONTEXT;
    }
    if (context != nullptr) {
        *context = current_device();
    }
    current_device() = pushed().back();
    pushed().pop_back();
    return SUCCESS;
}

API cuCtxGetDevice(int* device) {
    *device = current_device() == nullptr ? 0 : current_device()->ordinal;
    return current_device() == nullptr ? INVALID_CONTEXT : SUCCESS;
}

API cuCtxSynchronize() {
    Call call;
    Device* device;
    if (const Result bad = working(device)) {
        return bad;
    }
    if (const Result refused = refuse_in_capture(CAPTURE_UNSUPPORTED)) {
        return refused;
    }
    device->run_all(false);
    return device->fault;
}

// ---- peers

API cuDeviceCanAccessPeer(int* can, int from, int to) {
    Call call;
    Device* device;
    if (const Result bad = device_of(from, device)) {
        return bad;
    }
    if (const Result bad = device_of(to, device)) {
        return bad;
    }
    *can = settings().reach && from != to;
    return SUCCESS;
}

API cuCtxEnablePeerAccess(void* context, unsigned flags) {
    Call call;
    Device* device;
    if (const Result bad = working(device)) {
        return bad;
    }
    const auto* peer = static_cast<Device*>(context);
    if (flags != 0 || peer == nullptr || peer == device || peer->retained == 0) {
        return peer == device ? INVALID_DEVICE : flags != 0 ? INVALID_VALUE : INVALID_CONTEXT;
    }
    if (!settings().reach) {
        return PEER_ACCESS_UNSUPPORTED;
    }
    if (device->peers.count(peer->ordinal) == 0 && device->peers.size() >= settings().peers) {
        return TOO_MANY_PEERS;
    }
    return device->peers.insert(peer->ordinal).second ? SUCCESS : PEER_ACCESS_ALREADY_ENABLED;
}

// ---- memory

API cuMemGetInfo_v2(size_t* free, size_t* total) {
    Call call;
    Device* device;
    if (const Result bad = working(device)) {
        return bad;
    }
    *total = settings().bytes;
    *free = settings().bytes - std::min(settings().bytes, device->used);
    return SUCCESS;
}

API cuMemAlloc_v2(uintptr_t* address, size_t bytes) {
    Call call;
    settings().waits++;
    Device* device;
    if (const Result bad = working(device)) {
        return bad;
    }
    const Result refused = refuse_in_capture(CAPTURE_UNSUPPORTED);
    return refused == SUCCESS ? device->allocate(bytes, *address) : refused;
}

/** Waits for everything, as the driver does. */
API cuMemFree_v2(uintptr_t address) {
    Call call;
    settings().waits++;
    Device* device;
    if (const Result bad = working(device)) {
        return bad;
    }
    if (const Result refused = refuse_in_capture(CAPTURE_UNSUPPORTED)) {
        return refused;
    }
    device->run_all(false);
    return address == 0 ? device->fault : device->release(address);
}

API cuMemHostAlloc(void** host, size_t bytes, unsigned) {
    Call call;
    settings().waits++;
    Device* device;
    if (const Result bad = working(device)) {
        return bad;
    }
    if (const Result refused = refuse_in_capture(CAPTURE_UNSUPPORTED)) {
        return refused;
    }
    if (settings().refuse_pinned_after >= 0 && settings().refuse_pinned_after-- == 0) {
        return OUT_OF_MEMORY;
    }
    *host = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    if (*host == nullptr) {
        return OUT_OF_MEMORY;
    }
    pinned()[reinterpret_cast<uintptr_t>(*host)] = bytes;
    return SUCCESS;
}

API cuMemAllocHost_v2(void** host, size_t bytes) { return cuMemHostAlloc(host, bytes, 0); }

API cuMemFreeHost(void* host) {
    Call call;
    settings().waits++;
    Device* device;
    if (const Result bad = working(device)) {
        return bad;
    }
    if (const Result refused = refuse_in_capture(CAPTURE_UNSUPPORTED)) {
        return refused;
    }
    if (pinned().erase(reinterpret_cast<uintptr_t>(host)) == 0) {
        return INVALID_VALUE;
    }
    device->run_all(false);
    std::free(host);
    return device->fault;
}

API cuMemHostRegister_v2(void* host, size_t bytes, unsigned) {
    Call call;
    pinned()[reinterpret_cast<uintptr_t>(host)] = bytes;
    return SUCCESS;
}

API cuMemHostUnregister(void* host) {
    Call call;
    return pinned().erase(reinterpret_cast<uintptr_t>(host)) == 0 ? INVALID_VALUE : SUCCESS;
}

// ---- memory of other processes

API cuIpcGetMemHandle(char* handle, uintptr_t address) {
    Call call;
    Device* device;
    if (const Result bad = working(device)) {
        return bad;
    }
    return device->expose(address, handle);
}

struct IpcHandle {
    char reserved[64];
};

API cuIpcOpenMemHandle_v2(uintptr_t* address, IpcHandle handle, unsigned flags) {
    Call call;
    Device* device;
    if (const Result bad = working(device)) {
        return bad;
    }
    return flags == 1 ? device->import(handle.reserved, *address) : INVALID_VALUE; // LAZY_ENABLE_PEER_ACCESS is all there is
}

/** Waits for everything, as the driver does. */
API cuIpcCloseMemHandle(uintptr_t address) {
    Call call;
    Device* device;
    if (const Result bad = working(device)) {
        return bad;
    }
    device->run_all(false);
    return device->imports.erase(address) == 1 ? device->fault : INVALID_VALUE;
}

// ---- copies

API cuMemcpyHtoD_v2(uintptr_t to, const void* from, size_t bytes) {
    Call call;
    return copy_up(to, from, bytes, nullptr);
}

API cuMemcpyDtoH_v2(void* to, uintptr_t from, size_t bytes) {
    Call call;
    return copy_down(to, from, bytes, nullptr);
}

API cuMemcpyDtoD_v2(uintptr_t to, uintptr_t from, size_t bytes) {
    Call call;
    return copy_over(to, from, bytes, nullptr);
}

API cuMemcpyHtoDAsync_v2(uintptr_t to, const void* from, size_t bytes, void* stream) {
    Call call;
    return copy_up(to, from, bytes, stream);
}

API cuMemcpyDtoHAsync_v2(void* to, uintptr_t from, size_t bytes, void* stream) {
    Call call;
    return copy_down(to, from, bytes, stream);
}

API cuMemcpyDtoDAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, void* stream) {
    Call call;
    return copy_over(to, from, bytes, stream);
}

API cuMemsetD8_v2(uintptr_t to, unsigned char value, size_t count) {
    Call call;
    return fill(to, value, count, nullptr);
}

API cuMemsetD8Async(uintptr_t to, unsigned char value, size_t count, void* stream) {
    Call call;
    return fill(to, value, count, stream);
}

API cuMemsetD32_v2(uintptr_t to, unsigned value, size_t count) {
    Call call;
    return fill(to, value, count, nullptr);
}

API cuMemsetD32Async(uintptr_t to, unsigned value, size_t count, void* stream) {
    Call call;
    return fill(to, value, count, stream);
}
