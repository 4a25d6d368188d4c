// libnvidia-ml.so.1 without a GPU: what joins the devices of a host, as NVML tells it. It sees all that there can be.

#include <cstdint>
#include <cstdio>

#define API extern "C" __attribute__((visibility("default")))

namespace {

constexpr int SUCCESS = 0;
constexpr int UNINITIALIZED = 1;
constexpr int INVALID_ARGUMENT = 2;
constexpr int NOT_SUPPORTED = 3;
constexpr int NOT_FOUND = 6;
constexpr int LIB_RM_VERSION_MISMATCH = 18;
constexpr int CAPS_NVLINK = 2;
constexpr int STATUS_NOT_SUPPORTED = 5;
constexpr uintptr_t MOST_DEVICES = 8;

int users = 0; // of nvmlInit_v2
bool joined = true;
int refusal = SUCCESS; // of nvmlInit_v2, or of the question itself

bool is_device(uintptr_t device) { return device >= 1 && device <= MOST_DEVICES; }

} // namespace

/** Whether NVLink joins all devices from now on, or none. */
API void standin_nvml_join(int all) { joined = all != 0; }

/** What NVML says from now on where it is begun (18: it is not of the driver's version) or asked (3: as of slices); 0 for none. */
API void standin_nvml_refuse(int result) { refusal = result; }

/** Who has begun and not ended. */
API int standin_nvml_users() { return users; }

API int nvmlInit_v2() {
    if (refusal == LIB_RM_VERSION_MISMATCH) {
        return refusal;
    }
    __atomic_add_fetch(&users, 1, __ATOMIC_SEQ_CST);
    return SUCCESS;
}

API int nvmlShutdown() {
    if (__atomic_load_n(&users, __ATOMIC_SEQ_CST) == 0) {
        return UNINITIALIZED;
    }
    __atomic_sub_fetch(&users, 1, __ATOMIC_SEQ_CST);
    return SUCCESS;
}

API const char* nvmlErrorString(int result) {
    switch (result) {
        case SUCCESS: return "The operation was successful";
        case UNINITIALIZED: return "Uninitialized";
        case INVALID_ARGUMENT: return "Invalid Argument";
        case NOT_SUPPORTED: return "Not Supported";
        case NOT_FOUND: return "Not Found";
        case LIB_RM_VERSION_MISMATCH: return "RM has detected an NVML/RM version mismatch.";
        default: return "Unknown Error";
    }
}

API int nvmlDeviceGetHandleByPciBusId_v2(const char* bus_id, uintptr_t* device) {
    unsigned bus = 0;
    if (users == 0) {
        return UNINITIALIZED;
    }
    if (bus_id == nullptr || device == nullptr || std::sscanf(bus_id, "%*x:%x:%*x.%*x", &bus) != 1) {
        return INVALID_ARGUMENT;
    }
    *device = bus;
    return is_device(bus) ? SUCCESS : NOT_FOUND;
}

API int nvmlDeviceGetP2PStatus(uintptr_t one, uintptr_t other, int capability, int* status) {
    if (users == 0) {
        return UNINITIALIZED;
    }
    if (!is_device(one) || !is_device(other) || one == other || capability != CAPS_NVLINK || status == nullptr) {
        return INVALID_ARGUMENT;
    }
    *status = joined ? SUCCESS : STATUS_NOT_SUPPORTED;
    return refusal;
}
