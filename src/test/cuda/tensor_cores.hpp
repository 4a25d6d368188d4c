// The host's twins of what tensor_cores.cuh has in PTX: a warp's lanes give each other their registers.
#pragma once

#include <array>
#include <vector>

namespace standin {

/** What the lanes of the warp have in their registers. */
template <typename T>
std::array<T, 32> registers(T mine) {
    static_assert(sizeof(T) <= sizeof(uint64_t), "a value of a register");
    uint64_t bits = 0;
    std::memcpy(&bits, &mine, sizeof(mine));
    const uint64_t* all = exchange(ALL_LANES, bits);
    std::array<T, 32> values;
    for (int lane = 0; lane < 32; lane++) {
        std::memcpy(&values[lane], &all[lane], sizeof(T));
    }
    return values;
}

struct Two {
    unsigned of[2];
};

inline float half_of(unsigned both, int which, const bf16*) {
    return widen(__ushort_as_bfloat16(static_cast<unsigned short>(both >> 16 * which)));
}

inline float half_of(unsigned both, int which, const f16*) {
    return widen(__ushort_as_half(static_cast<unsigned short>(both >> 16 * which)));
}

/** A copy that was begun and not waited for: it is not there before. */
struct Copy {
    void* to;
    const void* from; // null for zeros
};

inline std::vector<Copy>& copies_of_this_thread() {
    static std::array<std::vector<Copy>, 1024> all; // grids run one at a time, their threads in turn
    return all[threadIdx.x];
}

} // namespace standin

template <>
inline unsigned pair<bf16>(float first, float second) {
    return narrow<bf16>(first).bits | static_cast<unsigned>(narrow<bf16>(second).bits) << 16;
}

template <>
inline unsigned pair<f16>(float first, float second) {
    return narrow<f16>(first).bits | static_cast<unsigned>(narrow<f16>(second).bits) << 16;
}

template <typename T>
void multiply_add(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, const T* type) {
    const std::array<standin::Two, 32> as[2] = {
        standin::registers(standin::Two{{a[0], a[1]}}), standin::registers(standin::Two{{a[2], a[3]}})};
    const std::array<standin::Two, 32> bs = standin::registers(standin::Two{{b0, b1}});
    const int quad = standin::lane() / 4;
    const int side = standin::lane() % 4;
    for (int i = 0; i < 4; i++) {
        const int row = quad + i / 2 * 8;
        const int column = 2 * side + i % 2;
        for (int k = 0; k < 16; k++) {
            const unsigned of_a = as[k / 8][row % 8 * 4 + k % 8 / 2].of[row / 8];
            const unsigned of_b = bs[column * 4 + k % 8 / 2].of[k / 8];
            sum[i] = fmaf(standin::half_of(of_a, k % 2, type), standin::half_of(of_b, k % 2, type), sum[i]);
        }
    }
}

inline void load_matrices(unsigned (&out)[4], const void* row) {
    const std::array<const void*, 32> rows = standin::registers(row);
    const int quad = standin::lane() / 4;
    const int side = standin::lane() % 4;
    for (int i = 0; i < 4; i++) {
        std::memcpy(&out[i], static_cast<const char*>(rows[8 * i + quad]) + 4 * side, 4);
    }
}

inline void load_transposed(unsigned (&out)[4], const void* row) {
    const std::array<const void*, 32> rows = standin::registers(row);
    const int quad = standin::lane() / 4;
    const int side = standin::lane() % 4;
    for (int i = 0; i < 4; i++) {
        unsigned short both[2];
        for (int j = 0; j < 2; j++) {
            std::memcpy(&both[j], static_cast<const char*>(rows[8 * i + 2 * side + j]) + 2 * quad, 2);
        }
        out[i] = both[0] | static_cast<unsigned>(both[1]) << 16;
    }
}

inline void begin_copy(void* to, const void* from, bool there) {
    standin::copies_of_this_thread().push_back({to, there ? from : nullptr});
}

inline void await_copies() {
    for (const standin::Copy& copy : standin::copies_of_this_thread()) {
        if (copy.from == nullptr) {
            std::memset(copy.to, 0, 16);
        } else {
            std::memcpy(copy.to, copy.from, 16);
        }
    }
    standin::copies_of_this_thread().clear();
}
