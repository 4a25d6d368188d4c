// What a real driver does not have: how tests make things go wrong, and see that nothing is left. Called through JNA.

#include "api.hpp"

using namespace standin;

/** Lets the launch after `launches` more end in a fault that stays; -1 for none. */
extern "C" __attribute__((visibility("default"))) void standin_fail_launch(int64_t launches, int error) {
    Call call;
    settings().fault_after = launches;
    settings().fault = error;
}

/** Lets kernels stand still from now on, as one that never ends, or go on. */
extern "C" __attribute__((visibility("default"))) void standin_hold(int held) {
    Call call;
    settings().held = held != 0;
    wake();
}

/** Refuses the allocation after `allocations` more; -1 for none. */
extern "C" __attribute__((visibility("default"))) void standin_refuse_allocation(int64_t allocations) {
    Call call;
    settings().refuse_after = allocations;
}

/** The same of memory of the host that devices read by themselves. */
extern "C" __attribute__((visibility("default"))) void standin_refuse_pinned(int64_t allocations) {
    Call call;
    settings().refuse_pinned_after = allocations;
}

/** Such memory that nobody has freed. */
extern "C" __attribute__((visibility("default"))) int64_t standin_pinned() {
    Call call;
    return static_cast<int64_t>(pinned_blocks());
}

/** Launches of graphs in this process. */
extern "C" __attribute__((visibility("default"))) int64_t standin_graph_launches() {
    Call call;
    return settings().graph_launches;
}

/** Copies so far between the host's memory and that of devices, up or down, or their bytes: when a stream has come to them. */
extern "C" __attribute__((visibility("default"))) int64_t standin_copied(int up, int bytes) {
    Call call;
    const Settings& all = settings();
    return up != 0 ? (bytes != 0 ? all.bytes_up : all.copies_up) : bytes != 0 ? all.bytes_down : all.copies_down;
}

/** Calls so far that may wait for all that a device was given: memory taken or given back, code loaded or unloaded. */
extern "C" __attribute__((visibility("default"))) int64_t standin_waits() {
    Call call;
    return settings().waits;
}

/** Forgets what libraries hold of a device, and its fault, as the end of the process does; whether nobody else held it. */
extern "C" __attribute__((visibility("default"))) int standin_renew(int ordinal) {
    Call call;
    Device& device = devices()[ordinal];
    device.held = false;
    if (device.retained == 0) {
        device.reset();
    }
    return device.retained == 0;
}

/** Devices that are visible from now on, at most 8. */
extern "C" __attribute__((visibility("default"))) void standin_set_devices(int count) {
    Call call;
    settings().devices = count;
}

/** Memory of each device from now on. */
extern "C" __attribute__((visibility("default"))) void standin_set_memory(int64_t bytes) {
    Call call;
    settings().bytes = static_cast<size_t>(bytes);
}

/** Devices whose memory one reaches at most, of those that it can. */
extern "C" __attribute__((visibility("default"))) void standin_set_peers(int count) {
    Call call;
    settings().peers = static_cast<size_t>(count);
}

/** Whether devices reach each other's memory from now on. */
extern "C" __attribute__((visibility("default"))) void standin_set_reach(int reach) {
    Call call;
    settings().reach = reach != 0;
}

/** Whether copies from another device's memory bring something else from now on, as where an IOMMU translates between them. */
extern "C" __attribute__((visibility("default"))) void standin_set_garbled(int garbled) {
    Call call;
    settings().garbled = garbled != 0;
}

/**
 * Lets kernels by which one device exchanges with others wait until the host ends them, as where its words do not reach them, or come
 * to another result; -1 for no device.
 */
extern "C" __attribute__((visibility("default"))) void standin_hurt_exchange(int device, int waits) {
    Call call;
    settings().hurt_device = device;
    settings().hurt_waits = waits != 0;
}

/** The compute capability of a device from now on. */
extern "C" __attribute__((visibility("default"))) void standin_set_capability(int device, int major, int minor) {
    Call call;
    settings().capabilities[device] = {major, minor};
}

/** Events of a device that nobody has destroyed. */
extern "C" __attribute__((visibility("default"))) int64_t standin_events(int device) {
    Call call;
    return static_cast<int64_t>(devices()[device].events.size());
}

/** Kernels that have run in this process. */
extern "C" __attribute__((visibility("default"))) int64_t standin_launches() {
    Call call;
    return settings().launches;
}

/** Allocations of a device that nobody has freed. */
extern "C" __attribute__((visibility("default"))) int64_t standin_allocations(int device) {
    Call call;
    return static_cast<int64_t>(devices()[device].memory.size());
}

/** Memory of other processes that a device has mapped. */
extern "C" __attribute__((visibility("default"))) int64_t standin_imports(int device) {
    Call call;
    return static_cast<int64_t>(devices()[device].imports.size());
}

/** Queues an operation of another library's on a stream, asked again while it says -1: what the stand-ins for cuBLAS and NCCL are built on. */
extern "C" __attribute__((visibility("default"))) int standin_enqueue(void* stream, int (*operation)(void*), void (*drop)(void*), void* state) {
    Call call;
    const std::shared_ptr<void> kept(state, drop);
    return enqueue(stream, [=] { return operation(kept.get()); });
}

/** Whether so many bytes are device memory. */
extern "C" __attribute__((visibility("default"))) int standin_holds(uint64_t address, uint64_t bytes) {
    Call call;
    for (const Device& device : devices()) {
        if (device.holds(address, bytes)) {
            return 1;
        }
    }
    return 0;
}

/**
 * The lock of the devices, for the stand-ins for cuBLAS and NCCL: what they know is under it too. Both hold the context that they
 * work in until their process ends, as NVIDIA's do by the runtime (cudart) that is in them.
 */
extern "C" __attribute__((visibility("default"))) void standin_acquire() {
    lock().lock();
    if (current_device() != nullptr) {
        current_device()->held = true;
    }
}

extern "C" __attribute__((visibility("default"))) void standin_release() { lock().unlock(); }

/** Wakes who waits for a stream. */
extern "C" __attribute__((visibility("default"))) void standin_wake() { wake(); }

/** Waits for that, or for a moment; with the lock, held once. */
extern "C" __attribute__((visibility("default"))) void standin_wait() { rest(); }

/** Runs the next operation of a stream if it can run; whether it did. */
extern "C" __attribute__((visibility("default"))) int standin_step(void* handle) {
    Call call;
    std::shared_ptr<Stream> stream;
    return find_stream(handle, stream) && stream != nullptr && stream->done < stream->queued && stream->try_run(stream->done + 1);
}
