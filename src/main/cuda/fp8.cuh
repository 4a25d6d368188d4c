// The 8-bit floating types of OCP's specification (1.0, 2023), as tensor.Fp8 has them, bit by bit: to nearest, ties to even, and what is
// larger than the largest number becomes that. By plain arithmetic: devices before 8.9 have no instruction for them.
#pragma once

#include <stdint.h>

struct e4m3 {
    uint8_t bits;
};

struct e5m2 {
    uint8_t bits;
};

static __device__ __forceinline__ float widen(e4m3 x) {
    const unsigned sign = (x.bits & 0x80u) << 24;
    const unsigned magnitude = x.bits & 0x7fu;
    // Its exponent field read as a float's is 120 too small, for subnormals too.
    return magnitude == 0x7fu ? __uint_as_float(0x7fc00000u) : __uint_as_float(sign | magnitude << 20) * 0x1p120f;
}

static __device__ __forceinline__ float widen(e5m2 x) {
    const unsigned sign = (x.bits & 0x80u) << 24;
    const unsigned magnitude = x.bits & 0x7fu;
    return magnitude >= 0x7cu ? __uint_as_float(sign | 0x7f800000u | magnitude << 21) : __uint_as_float(sign | magnitude << 21) * 0x1p112f;
}

template <unsigned MANTISSA, unsigned BIAS, unsigned LARGEST>
static __device__ __forceinline__ uint8_t narrow_to_8(float x) {
    const unsigned sign = __float_as_uint(x) >> 24 & 0x80u;
    const unsigned magnitude = __float_as_uint(x) & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        return static_cast<uint8_t>(sign | 0x7fu);
    }
    unsigned rounded;
    if (magnitude < (128 - BIAS) << 23) {
        // Subnormal there: adding a number whose last place is the step aligns the mantissa so that the hardware rounds.
        const unsigned aligner = (151 - BIAS - MANTISSA) << 23;
        rounded = __float_as_uint(__uint_as_float(magnitude) + __uint_as_float(aligner)) - aligner;
    } else {
        const unsigned drop = 23 - MANTISSA;
        rounded = (magnitude + (1u << (drop - 1)) - 1 + (magnitude >> drop & 1) - ((127 - BIAS) << 23)) >> drop;
    }
    return static_cast<uint8_t>(sign | (rounded < LARGEST ? rounded : LARGEST));
}

static __device__ __forceinline__ e4m3 to_e4m3(float x) { return {narrow_to_8<3, 7, 0x7e>(x)}; }
static __device__ __forceinline__ e5m2 to_e5m2(float x) { return {narrow_to_8<2, 15, 0x7b>(x)}; }
