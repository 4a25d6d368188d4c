// Modules of PTX, whose entries run as their twins on the host, and launches.

#include <cstdio>
#include <cstdlib>
#include <regex>

#include "api.hpp"
#include "kernels.hpp"
#include "threads.hpp"

using namespace standin;

namespace {

struct Function {
    std::string name;
    const Kernel* kernel;
    unsigned most_threads;
};

struct Module {
    std::map<std::string, Function> functions;
};

std::map<void*, std::unique_ptr<Module>>& modules() {
    static std::map<void*, std::unique_ptr<Module>> all;
    return all;
}

std::map<void*, const Function*>& functions() {
    static std::map<void*, const Function*> all;
    return all;
}

Result refuse(Result why, const std::string& what) {
    std::fprintf(stderr, "CUDA stand-in: %s\n", what.c_str());
    return why;
}

/** One entry's text: its parameters must be those of its twin. */
Result add_entry(Module& module, const std::string& name, const std::string& parameters, const std::string& directives) {
    const Kernel* kernel = find_kernel(name);
    if (kernel == nullptr) {
        return refuse(NOT_FOUND, "no twin on the host for the entry " + name);
    }
    std::vector<size_t> bytes;
    static const std::regex parameter("\\.param\\s+\\.[a-z](\\d+)\\s");
    for (std::sregex_iterator i(parameters.begin(), parameters.end(), parameter), end; i != end; ++i) {
        bytes.push_back(std::stoul((*i)[1]) / 8);
    }
    std::vector<size_t> expected;
    for (const Parameter& p : kernel->parameters) {
        expected.push_back(p.bytes);
    }
    if (bytes != expected) {
        return refuse(INVALID_PTX, "the entry " + name + " takes other arguments than its twin on the host");
    }
    static const std::regex most("\\.maxntid\\s+(\\d+)");
    std::smatch threads;
    const bool limited = std::regex_search(directives, threads, most);
    module.functions[name] = {name, kernel, limited ? static_cast<unsigned>(std::stoul(threads[1])) : 1024};
    return SUCCESS;
}

/** Reads the entries' names, parameters and bounds; the rest is for a real driver. */
Result parse(const std::string& text, Module& module) {
    std::smatch version;
    static const std::regex of_version("\\.version\\s+(\\d+)\\.(\\d+)");
    const std::string head = text.substr(0, 1000);
    if (!std::regex_search(head, version, of_version)) {
        return text.compare(0, 4, "\177ELF") == 0 ? NO_BINARY_FOR_GPU : INVALID_IMAGE;
    }
    const int needed = std::stoi(version[1]) * 1000 + std::stoi(version[2]) * 10;       // 8.0
    const int known = settings().driver_version >= 13000 ? 9000 : settings().driver_version - 4000; // CUDA 12.n reads 8.n
    if (needed > known) {
        return refuse(UNSUPPORTED_PTX_VERSION, "PTX " + version.str(0) + " is newer than this driver");
    }
    const std::string mark = ".entry ";
    for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + 1)) {
        const size_t open = text.find('(', at);
        const size_t close = text.find(')', open);
        const size_t body = text.find('{', close);
        if (body == std::string::npos) {
            return INVALID_PTX;
        }
        const std::string name = text.substr(at + mark.size(), open - at - mark.size());
        const Result added =
            add_entry(module, name, text.substr(open, close - open), text.substr(close, body - close));
        if (added != SUCCESS) {
            return added;
        }
    }
    return SUCCESS;
}

/** Pointers are null, or into live memory of the device or pinned memory of the host. */
Result check_pointers(const Device& device, const Function& function, const std::vector<uint64_t>& values) {
    for (size_t i = 0; i < values.size(); i++) {
        if (function.kernel->parameters[i].pointer && values[i] != 0 && !device.holds(values[i], 1) &&
            !is_pinned(values[i])) {
            char text[200];
            std::snprintf(
                text, sizeof(text), "%s: argument %zu (0x%zx) is not in memory of device %d", function.name.c_str(), i,
                static_cast<size_t>(values[i]), device.ordinal);
            return refuse(ILLEGAL_ADDRESS, text);
        }
    }
    return SUCCESS;
}

/** The launch of a kernel, which a graph repeats: one run after the other. */
struct Launch {
    Device* device;
    Function function;
    Size3 grid;
    Size3 block;
    std::vector<uint64_t> values;
    std::unique_ptr<Run> run = nullptr;

    bool exchanges() const { return function.name.rfind("exchange_", 0) == 0; }

    Result go_on() {
        if (settings().held) {
            return PENDING;
        }
        const bool hurt = exchanges() && settings().hurt_device == device->ordinal;
        if (hurt && settings().hurt_waits) {
            return __atomic_load_n(reinterpret_cast<const uint32_t*>(values[10]), __ATOMIC_ACQUIRE) != 0 ? SUCCESS : PENDING;
        }
        if (run == nullptr) {
            Settings& all = settings();
            all.launches++;
            if (all.fault_after >= 0 && all.fault_after-- == 0) {
                return refuse(all.fault, function.name + ": the fault that was asked for");
            }
            if (const Result bad = check_pointers(*device, function, values)) {
                return bad;
            }
            run = std::make_unique<Run>(grid, block, function.kernel->call, values);
        }
        std::string wrong;
        if (!run->go_on(wrong)) {
            return PENDING;
        }
        run = nullptr;
        if (!wrong.empty()) {
            return refuse(LAUNCH_FAILED, function.name + ": " + wrong);
        }
        if (hurt && values[3] > 0) {
            *reinterpret_cast<unsigned char*>(values[11]) ^= 1; // of the first element
        }
        device->inspect(function.name);
        return device->fault;
    }
};

} // namespace

API cuModuleLoadData(void** handle, const void* image) {
    Call call;
    settings().waits++;
    Device* device;
    if (const Result bad = working(device)) {
        return bad;
    }
    if (const Result refused = refuse_in_capture(CAPTURE_UNSUPPORTED)) {
        return refused;
    }
    auto module = std::make_unique<Module>();
    if (const Result bad = parse(static_cast<const char*>(image), *module)) {
        return bad;
    }
    *handle = module.get();
    modules()[module.get()] = std::move(module);
    return SUCCESS;
}

API cuModuleLoadDataEx(void** handle, const void* image, unsigned, int*, void**) { return cuModuleLoadData(handle, image); }

API cuModuleUnload(void* handle) {
    Call call;
    settings().waits++;
    const auto found = modules().find(handle);
    if (found == modules().end()) {
        return INVALID_HANDLE;
    }
    for (auto& [name, function] : found->second->functions) {
        functions().erase(&function);
    }
    modules().erase(found);
    return SUCCESS;
}

API cuModuleGetFunction(void** handle, void* module, const char* name) {
    Call call;
    const auto found = modules().find(module);
    if (found == modules().end()) {
        return INVALID_HANDLE;
    }
    settings().waits++; // a function may be loaded no sooner than it is asked for
    const auto function = found->second->functions.find(name);
    if (function == found->second->functions.end()) {
        return NOT_FOUND;
    }
    functions()[&function->second] = &function->second;
    *handle = &function->second;
    return SUCCESS;
}

API cuFuncGetAttribute(int* value, int attribute, void* handle) {
    Call call;
    const auto found = functions().find(handle);
    if (found == functions().end()) {
        return INVALID_HANDLE;
    }
    *value = attribute == 0 ? static_cast<int>(found->second->most_threads) : 0;
    return SUCCESS;
}

API cuFuncSetAttribute(void* handle, int, int) {
    Call call;
    return functions().count(handle) == 1 ? SUCCESS : INVALID_HANDLE;
}

API cuLaunchKernel(
    void* handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
    unsigned shared_bytes, void* stream, void** arguments, void** extra) {
    Call call;
    Device* device;
    if (const Result bad = working(device)) {
        return bad;
    }
    const auto found = functions().find(handle);
    if (found == functions().end()) {
        return INVALID_HANDLE;
    }
    const Function function = *found->second;
    const uint64_t threads = static_cast<uint64_t>(block_x) * block_y * block_z;
    if (grid_x == 0 || grid_y == 0 || grid_z == 0 || grid_y > 65535 || grid_z > 65535 || threads == 0 ||
        threads > function.most_threads || shared_bytes > (48u << 10) || extra != nullptr ||
        (arguments == nullptr && !function.kernel->parameters.empty())) {
        return INVALID_VALUE;
    }
    std::vector<uint64_t> values(function.kernel->parameters.size());
    for (size_t i = 0; i < values.size(); i++) {
        std::memcpy(&values[i], arguments[i], function.kernel->parameters[i].bytes);
    }
    Launch launch = {device, function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, values};
    const bool meets = launch.exchanges();
    return enqueue(stream, [launch = std::make_shared<Launch>(std::move(launch))] { return launch->go_on(); }, meets);
}
