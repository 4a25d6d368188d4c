// float16 as bits, rounded to nearest, ties to even, as CUDA's header does.
#pragma once

struct __half {
    unsigned short bits;
};

inline __half __ushort_as_half(unsigned short bits) { return {bits}; }

inline float __half2float(__half x) {
    const unsigned sign = static_cast<unsigned>(x.bits & 0x8000) << 16;
    const unsigned exponent = x.bits >> 10 & 31;
    const unsigned fraction = x.bits & 0x3ff;
    if (exponent == 31) {
        return __uint_as_float(sign | 0x7f800000u | fraction << 13);
    }
    if (exponent == 0) {
        const float subnormal = std::ldexp(static_cast<float>(fraction), -24);
        return sign == 0 ? subnormal : -subnormal;
    }
    return __uint_as_float(sign | (exponent + 112) << 23 | fraction << 13);
}

inline __half __float2half_rn(float x) {
    const unsigned bits = __float_as_uint(x);
    const unsigned short sign = static_cast<unsigned short>(bits >> 16 & 0x8000);
    const unsigned magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        return {0x7fff};
    }
    if (magnitude >= 0x477ff000u) { // 65,520 and more
        return {static_cast<unsigned short>(sign | 0x7c00)};
    }
    if (magnitude < 0x38800000u) { // below 2^-14: steps of 2^-24
        return {static_cast<unsigned short>(sign | static_cast<int>(std::nearbyint(std::ldexp(std::fabs(x), 24))))};
    }
    const unsigned rounded = magnitude + 0xfffu + (magnitude >> 13 & 1);
    return {static_cast<unsigned short>(sign | (rounded - (112u << 23)) >> 13)};
}
