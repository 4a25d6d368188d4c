// libcublas without a GPU: handles and two matrix products, on the streams of the stand-in for the driver. Checks what
// cuBLAS checks (dimensions, strides, types, the handle) and that the matrices are device memory; sums in f32, one product
// after the other.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <set>

#include "dialect.hpp"
#include "cuda_bf16.h"
#include "cuda_fp16.h"

#define API extern "C" __attribute__((visibility("default"))) int

extern "C" int standin_enqueue(void* stream, int (*operation)(void*), void (*drop)(void*), void* state);
extern "C" int standin_holds(uint64_t address, uint64_t bytes);
extern "C" void standin_acquire();
extern "C" void standin_release();
extern "C" int cuCtxGetCurrent(void** context);

namespace {

constexpr int SUCCESS = 0;
constexpr int NOT_INITIALIZED = 1;
constexpr int ALLOC_FAILED = 3;
constexpr int INVALID_VALUE = 7;
constexpr int EXECUTION_FAILED = 13;
constexpr int NOT_SUPPORTED = 15;
constexpr int ILLEGAL_ADDRESS = 700;
constexpr int VERSION = 130100;

constexpr int REAL_32F = 0; // cudaDataType
constexpr int REAL_16F = 2;
constexpr int REAL_16BF = 14;

struct Handle {
    void* stream = nullptr;
    bool workspace = false; // of its own: else a product allocates
};

/** The lock of the devices: ranks are threads, each with a handle of its own, in one set. */
struct Locked {
    Locked() { standin_acquire(); }
    ~Locked() { standin_release(); }
};

std::set<Handle*>& handles() { // under the lock
    static std::set<Handle*> all;
    return all;
}

/** A copy, for what is waited for on a stream is waited for without the lock. */
bool find(void* address, Handle& handle) {
    Locked held;
    const bool found = handles().count(static_cast<Handle*>(address)) != 0;
    if (found) {
        handle = *static_cast<Handle*>(address);
    }
    return found;
}

bool exists(void* address) {
    Handle ignored;
    return find(address, ignored);
}

int bytes_of(int type) { return type == REAL_32F ? 4 : type == REAL_16F || type == REAL_16BF ? 2 : 0; }

float load(const void* matrix, int type, int64_t index) {
    switch (type) {
        case REAL_32F: return static_cast<const float*>(matrix)[index];
        case REAL_16F: return __half2float(static_cast<const __half*>(matrix)[index]);
        default: return __bfloat162float(static_cast<const __nv_bfloat16*>(matrix)[index]);
    }
}

void store(void* matrix, int type, int64_t index, float value) {
    switch (type) {
        case REAL_32F: static_cast<float*>(matrix)[index] = value; break;
        case REAL_16F: static_cast<__half*>(matrix)[index] = __float2half_rn(value); break;
        default: static_cast<__nv_bfloat16*>(matrix)[index] = __float2bfloat16_rn(value); break;
    }
}

/** A column-major matrix in device memory, or several, `step` elements apart. */
struct Matrix {
    uint64_t address;
    int type;
    int stride;
    int64_t step;

    void* at(int batch) const {
        return reinterpret_cast<void*>(address + static_cast<int64_t>(batch) * step * bytes_of(type));
    }

    bool is_memory(int rows, int columns, int batch) const {
        const int64_t elements = static_cast<int64_t>(stride) * (columns - 1) + rows;
        return standin_holds(reinterpret_cast<uint64_t>(at(batch)), elements * bytes_of(type)) != 0;
    }
};

struct Product {
    bool transpose_a, transpose_b;
    int m, n, k, batches;
    float alpha, beta;
    Matrix a, b, c;

    int run() const {
        for (int batch = 0; batch < batches; batch++) {
            if (!a.is_memory(transpose_a ? k : m, transpose_a ? m : k, batch) ||
                !b.is_memory(transpose_b ? n : k, transpose_b ? k : n, batch) || !c.is_memory(m, n, batch)) {
                std::fprintf(stderr, "cuBLAS stand-in: a matrix reaches beyond its memory\n");
                return ILLEGAL_ADDRESS;
            }
            for (int j = 0; j < n; j++) {
                for (int i = 0; i < m; i++) {
                    float sum = 0;
                    for (int l = 0; l < k; l++) {
                        const int64_t in_a = transpose_a ? l + static_cast<int64_t>(i) * a.stride : i + static_cast<int64_t>(l) * a.stride;
                        const int64_t in_b = transpose_b ? j + static_cast<int64_t>(l) * b.stride : l + static_cast<int64_t>(j) * b.stride;
                        sum = std::fmaf(load(a.at(batch), a.type, in_a), load(b.at(batch), b.type, in_b), sum);
                    }
                    const int64_t in_c = i + static_cast<int64_t>(j) * c.stride;
                    const float before = beta == 0 ? 0 : beta * load(c.at(batch), c.type, in_c);
                    store(c.at(batch), c.type, in_c, alpha * sum + before);
                }
            }
        }
        return SUCCESS;
    }
};

int enqueue(void* address, int op_a, int op_b, const Product& product, int compute_type) {
    Handle handle;
    if (!find(address, handle)) {
        return NOT_INITIALIZED;
    }
    if (op_a < 0 || op_a > 2 || op_b < 0 || op_b > 2 || product.m < 0 || product.n < 0 || product.k < 0 ||
        product.a.stride < std::max(1, product.transpose_a ? product.k : product.m) ||
        product.b.stride < std::max(1, product.transpose_b ? product.n : product.k) ||
        product.c.stride < std::max(1, product.m)) {
        return INVALID_VALUE;
    }
    const bool known = bytes_of(product.a.type) != 0 && product.b.type == product.a.type &&
        (product.c.type == REAL_32F || product.c.type == product.a.type) && (compute_type == 68 || compute_type == 69);
    if (!known) {
        return NOT_SUPPORTED; // compute types: CUBLAS_COMPUTE_32F and its pedantic form
    }
    if (product.m == 0 || product.n == 0) {
        return SUCCESS;
    }
    if (!handle.workspace) {
        std::fprintf(stderr, "cuBLAS stand-in: a product without a workspace that was set after the stream\n");
        return ALLOC_FAILED;
    }
    const int queued = standin_enqueue(
        handle.stream, [](void* state) { return static_cast<Product*>(state)->run(); },
        [](void* state) { delete static_cast<Product*>(state); }, new Product(product));
    return queued == 0 ? SUCCESS : EXECUTION_FAILED;
}

} // namespace

API cublasCreate_v2(void** handle) {
    void* context = nullptr;
    cuCtxGetCurrent(&context);
    if (context == nullptr) {
        return NOT_INITIALIZED;
    }
    Locked held;
    *handle = *handles().insert(new Handle()).first;
    return SUCCESS;
}

API cublasDestroy_v2(void* handle) {
    Locked held;
    if (handles().erase(static_cast<Handle*>(handle)) == 0) {
        return NOT_INITIALIZED;
    }
    delete static_cast<Handle*>(handle);
    return SUCCESS;
}

API cublasGetVersion_v2(void*, int* version) {
    *version = VERSION;
    return SUCCESS;
}

API cublasSetStream_v2(void* handle, void* stream) {
    Locked held;
    if (handles().count(static_cast<Handle*>(handle)) == 0) {
        return NOT_INITIALIZED;
    }
    *static_cast<Handle*>(handle) = {stream, false}; // the workspace is the library's again
    return SUCCESS;
}

API cublasSetMathMode(void* handle, int) { return exists(handle) ? SUCCESS : NOT_INITIALIZED; }

API cublasSetWorkspace_v2(void* handle, void* workspace, size_t bytes) {
    if (!exists(handle)) {
        return NOT_INITIALIZED;
    }
    const auto address = reinterpret_cast<uint64_t>(workspace);
    if (address % 256 != 0 || standin_holds(address, bytes) == 0) {
        return INVALID_VALUE;
    }
    Locked held;
    static_cast<Handle*>(handle)->workspace = true;
    return SUCCESS;
}

API cublasGemmStridedBatchedEx(
    void* handle, int op_a, int op_b, int m, int n, int k, const float* alpha, const void* a, int type_a, int stride_a,
    int64_t step_a, const void* b, int type_b, int stride_b, int64_t step_b, const float* beta, void* c, int type_c,
    int stride_c, int64_t step_c, int batches, int compute_type, int) {
    const Product product = {
        op_a != 0, op_b != 0, m, n, k, batches, *alpha, *beta,
        {reinterpret_cast<uint64_t>(a), type_a, stride_a, step_a},
        {reinterpret_cast<uint64_t>(b), type_b, stride_b, step_b},
        {reinterpret_cast<uint64_t>(c), type_c, stride_c, step_c},
    };
    return enqueue(handle, op_a, op_b, product, compute_type);
}

API cublasGemmEx(
    void* handle, int op_a, int op_b, int m, int n, int k, const float* alpha, const void* a, int type_a, int stride_a,
    const void* b, int type_b, int stride_b, const float* beta, void* c, int type_c, int stride_c, int compute_type,
    int algorithm) {
    return cublasGemmStridedBatchedEx(
        handle, op_a, op_b, m, n, k, alpha, a, type_a, stride_a, 0, b, type_b, stride_b, 0, beta, c, type_c, stride_c, 0, 1,
        compute_type, algorithm);
}
