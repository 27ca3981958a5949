// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// From 32-bit sums back to int8, rounding as TFLite's reference kernels do.
#ifndef AXYNQ_REQUANTISE_HPP
#define AXYNQ_REQUANTISE_HPP

#include <ap_int.h>

#include <cstdint>

#include "axynq/pragmas.hpp"

namespace axynq {

typedef ap_uint<31> multiplier_t;  // in 2^-31
typedef ap_int<6> shift_t;         // left where positive

// Bits of a value, and the longest left shift, that need to be told apart. A factor that shifts
// left is at least a half (a mean's; at least one otherwise), so that it takes all larger values
// out of int8 whatever the zero point: 511 / 2 rounds to 256, and -511 / 2 to -255. So does a shift
// by 9 or more with every value but 0.
const int NARROW = 10, LONGEST_SHIFT = 9;

// value * multiplier / 2^31 * 2^shift, rounded twice: the high half of a doubled product rounds
// halves up, then a division by a power of two rounds them away from zero. Or cut off twice.
// Exact, shifted left or not, once it is an int8; operands of the multiplication have 32 bits
// whatever the shift.
inline ap_int<32> rescale(ap_int<32> value, multiplier_t multiplier, shift_t shift,
                          bool cut = false) {
  AXYNQ_INLINE
  const bool leftwards = shift > 0;
  const ap_uint<4> left = !leftwards ? 0 : shift > LONGEST_SHIFT ? LONGEST_SHIFT : int(shift);
  const ap_uint<5> right = leftwards ? 0 : -int(shift);
  const ap_int<32 - NARROW + 1> top = value >> (NARROW - 1);
  const bool narrow = top == 0 || top == -1;
  const ap_int<NARROW> most = (1 << (NARROW - 1)) - 1;
  const ap_int<NARROW> narrowed = narrow      ? ap_int<NARROW>(value)
                                  : value < 0 ? ap_int<NARROW>(-most)
                                              : most;
  const ap_int<NARROW + LONGEST_SHIFT> widened = ap_int<NARROW + LONGEST_SHIFT>(narrowed) << left;
  const ap_int<32> shifted = leftwards ? ap_int<32>(widened) : value;
  const ap_int<63> product = shifted * multiplier;
  const ap_int<33> doubled = product >> 30;
  // Both roundings at once, in halves of the first's unit: 1 for the first; for the second, which
  // takes halves away from zero, half of its unit, less one below zero.
  const bool rounds = !cut && right != 0;
  const ap_uint<32> half = rounds ? ap_uint<32>(ap_uint<32>(1) << right) : ap_uint<32>(0);
  const ap_int<34> once = cut ? 0 : 1;
  const ap_int<34> above = half + once, below = rounds ? ap_int<34>(half - once) : once;
  const ap_int<34> nudged = doubled + (doubled < 0 ? below : above);
  return ap_int<32>(ap_int<33>(nudged >> 1) >> right);
}

// A rescaled value as int8. It is clamped before the zero point is added, which might take it out
// of 32 bits.
inline std::int8_t quantised(ap_int<32> value, ap_int<8> zero_point, ap_int<8> low,
                             ap_int<8> high) {
  AXYNQ_INLINE
  const ap_int<9> lowest = low - zero_point, highest = high - zero_point;
  const ap_int<9> limited = value < lowest ? lowest : value > highest ? highest : ap_int<9>(value);
  return std::int8_t(int(limited + zero_point));
}

}  // namespace axynq

#endif
