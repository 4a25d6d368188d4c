// The kernels by name: what a PTX entry's twin on the host takes, and how it is called.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace standin {

struct Parameter {
    size_t bytes;
    bool pointer;
};

struct Kernel {
    std::vector<Parameter> parameters;
    void (*call)(const void* arguments); // each at the next multiple of 8 bytes
};

/** @return null where there is no twin of that name */
const Kernel* find_kernel(const std::string& name);

} // namespace standin
