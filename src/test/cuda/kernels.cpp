// The sources of src/main/cuda, compiled for the host. entries.inc is made by build.sh: ENTRY(name) for each PTX entry.

#include "kernels.hpp"

#include <map>
#include <utility>

#include "attention.cu"
#include "exchange.cu"
#include "flash.cu"
#include "product.cu"
#include "reduce.cu"
#include "rows.cu"
#include "sample.cu"

namespace standin {

namespace {

template <typename... Arguments>
std::vector<Parameter> parameters_of(void (*)(Arguments...)) {
    return {{sizeof(Arguments), std::is_pointer<Arguments>::value}...};
}

template <typename T>
T argument(const void* arguments, size_t index) {
    T value;
    std::memcpy(&value, static_cast<const char*>(arguments) + 8 * index, sizeof(value));
    return value;
}

template <typename... Arguments, size_t... Index>
void apply(void (*kernel)(Arguments...), const void* arguments, std::index_sequence<Index...>) {
    kernel(argument<Arguments>(arguments, Index)...);
}

template <typename... Arguments>
void apply(void (*kernel)(Arguments...), const void* arguments) {
    apply(kernel, arguments, std::index_sequence_for<Arguments...>());
}

const std::map<std::string, Kernel>& kernels() {
    static const std::map<std::string, Kernel> all = {
#define ENTRY(name) {#name, {parameters_of(&::name), [](const void* arguments) { apply(&::name, arguments); }}},
#include "entries.inc"
#undef ENTRY
    };
    return all;
}

} // namespace

const Kernel* find_kernel(const std::string& name) {
    const auto found = kernels().find(name);
    return found == kernels().end() ? nullptr : &found->second;
}

} // namespace standin
