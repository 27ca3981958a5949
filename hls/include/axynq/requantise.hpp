// From 32-bit sums back to int8, rounding as TFLite's reference kernels do.
#ifndef AXYNQ_REQUANTISE_HPP
#define AXYNQ_REQUANTISE_HPP

#include <cstdint>

#include "axynq/pragmas.hpp"

namespace axynq {

// The largest value, and the longest left shift, that need to be told apart. A factor that shifts
// left is at least a half (a mean's; at least one otherwise), so that it takes all larger values
// out of int8 whatever the zero point: 511 / 2 rounds to 256, and -511 / 2 to -255.
const int WIDEST = 511, LONGEST_SHIFT = 22;

// value * multiplier / 2^31 * 2^shift, rounded twice: the high half of a doubled product rounds
// halves up, then a division by a power of two rounds them away from zero. Exact, shifted left or
// not, once it is an int8; operands of the multiplication have 32 bits whatever the shift.
inline std::int32_t rescale(std::int32_t value, std::int32_t multiplier, int shift) {
  AXYNQ_INLINE
  const int left = shift > LONGEST_SHIFT ? LONGEST_SHIFT : shift > 0 ? shift : 0;
  const int right = shift > 0 ? 0 : -shift;
  const std::int32_t narrowed = value < -WIDEST ? -WIDEST : value > WIDEST ? WIDEST : value;
  const std::int32_t shifted = shift > 0 ? narrowed * (1 << left) : value;
  const std::int64_t product = std::int64_t(shifted) * multiplier;
  const std::int32_t high = std::int32_t((product + (std::int64_t(1) << 30)) >> 31);
  const std::int32_t mask = std::int32_t((std::uint32_t(1) << right) - 1);
  const std::int32_t threshold = (mask >> 1) + (high < 0 ? 1 : 0);
  return (high >> right) + ((high & mask) > threshold ? 1 : 0);
}

// A rescaled value as int8. It is clamped before the zero point is added, which might take it out
// of 32 bits.
inline std::int8_t quantised(std::int32_t value, int zero_point, int low, int high) {
  AXYNQ_INLINE
  const int lowest = low - zero_point, highest = high - zero_point;
  return std::int8_t((value < lowest ? lowest : value > highest ? highest : value) + zero_point);
}

}  // namespace axynq

#endif
