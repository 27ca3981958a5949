// From 32-bit sums back to int8, rounding as TFLite's reference kernels do.
#ifndef AXYNQ_REQUANTISE_HPP
#define AXYNQ_REQUANTISE_HPP

#include <cstdint>

#include "axynq/pragmas.hpp"

namespace axynq {

// The largest value, and the longest left shift, that need to be told apart: what a factor of one
// or more makes of larger ones is clamped to an end of the int8 range in any case.
const int WIDEST = 511, LONGEST_SHIFT = 22;

// value * multiplier / 2^31 * 2^shift, rounded twice, halves away from zero each time: the high
// half of a doubled product, then a division by a power of two. Exact once it is clamped to int8;
// operands of the multiplication have 32 bits whatever the shift.
inline std::int32_t rescale(std::int32_t value, std::int32_t multiplier, int shift) {
  AXYNQ_INLINE
  const int left = shift > LONGEST_SHIFT ? LONGEST_SHIFT : shift > 0 ? shift : 0;
  const int right = shift > 0 ? 0 : -shift;
  const std::int32_t narrowed = value < -WIDEST ? -WIDEST : value > WIDEST ? WIDEST : value;
  const std::int32_t shifted = shift > 0 ? narrowed * (1 << left) : value;
  const std::int64_t product = std::int64_t(shifted) * multiplier;
  const std::int64_t nudge = product >= 0 ? (std::int64_t(1) << 30) : 1 - (std::int64_t(1) << 30);
  const std::int64_t nudged = product + nudge;
  // Division by 2^31 towards zero: an arithmetic shift, plus one where it rounded a negative down.
  const bool inexact = (nudged & 0x7FFFFFFF) != 0;
  const std::int32_t high = std::int32_t(nudged >> 31) + (nudged < 0 && inexact ? 1 : 0);
  const std::int32_t mask = std::int32_t((std::uint32_t(1) << right) - 1);
  const std::int32_t threshold = (mask >> 1) + (high < 0 ? 1 : 0);
  return (high >> right) + ((high & mask) > threshold ? 1 : 0);
}

inline std::int8_t clamp(std::int32_t value, int low, int high) {
  AXYNQ_INLINE
  return std::int8_t(value < low ? low : value > high ? high : value);
}

}  // namespace axynq

#endif
