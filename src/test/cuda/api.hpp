// What every entry point of the stand-in begins with.
#pragma once

#include "device.hpp"

#define API extern "C" __attribute__((visibility("default"))) standin::Result

namespace standin {

/** The lock, for the length of a call. */
struct Call {
    std::lock_guard<std::recursive_mutex> held{lock()};
};

/** The calling thread's device, if it has a context that still works. */
inline Result working(Device*& device) {
    device = current_device();
    if (device == nullptr || device->retained == 0) {
        return INVALID_CONTEXT;
    }
    return device->fault;
}

} // namespace standin
