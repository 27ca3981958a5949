// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Number types of the datapath.
#ifndef AXYNQ_TYPES_HPP
#define AXYNQ_TYPES_HPP

#include <ap_int.h>

#include <cstdint>

namespace axynq {

typedef ap_int<9> activation_t;  // x - zero point: -255 .. 255
typedef ap_int<8> weight_t;      // -128 .. 127
typedef ap_int<17> product_t;    // rounding can reach +-32768
typedef std::int32_t accumulator_t;

// Lowest bits that all products of a design have zero: no adder needs them.
template <class DESIGN>
struct zero_bits {
  static const int value = 0;
};

}  // namespace axynq

#endif
