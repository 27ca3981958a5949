// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// The softmax over channels, as emulator/softmax.py has it: integers throughout.
#pragma once

#include "elementwise.hpp"

namespace axynq {

namespace softmax {

constexpr int SUM_BITS = 12;  // integer bits of the sum of exponentials

// The high half of the doubled product, rounded halves up.
inline int64_t multiplied(int64_t a, int64_t b) { return (a * b + (int64_t(1) << 30)) >> 31; }

// 2^62 / a for a from 2^31 to below 2^32: three steps of Newton's method.
inline int64_t reciprocal(int64_t a) {
  const int64_t half = a >> 1;
  int64_t x = 1515870810 + multiplied(half, -1010580540);
  for (int k = 0; k < 3; ++k) x += multiplied(x, (int64_t(1) << 29) - multiplied(half, x)) * 4;
  return std::min<int64_t>(x * 2, INT32_MAX);
}

}  // namespace softmax

// IMAGES lie side by side.
template <int IMAGES>
inline void softmax_of_channels(const Operator &op, const Tensor &in, const int8_t *from,
                                int8_t *to) {
  const int64_t pixels = int64_t(in.rows) * in.columns;
  const int64_t plane = pixels * IMAGES;
  for (int64_t p = 0; p < pixels; ++p, from += IMAGES, to += IMAGES) {
    int8_t maximum[IMAGES];
    std::memcpy(maximum, from, IMAGES);
    for (int c = 1; c < in.channels; ++c)
      for (int n = 0; n < IMAGES; ++n) maximum[n] = std::max(maximum[n], from[c * plane + n]);

    uint32_t totals[IMAGES] = {};
    for (int c = 0; c < in.channels; ++c)
      for (int n = 0; n < IMAGES; ++n) {
        const uint32_t e = uint32_t(op.exponentials[maximum[n] - from[c * plane + n]]);
        totals[n] += (e + (1u << (softmax::SUM_BITS - 1))) >> softmax::SUM_BITS;
      }

    int64_t inverse[IMAGES], half[IMAGES], shift[IMAGES];
    for (int n = 0; n < IMAGES; ++n) {
      const int digits = 32 - __builtin_clz(totals[n]);
      inverse[n] = softmax::reciprocal(int64_t(totals[n]) << (32 - digits));
      shift[n] = digits + 3;
      half[n] = (int64_t(1) << shift[n]) >> 1;
    }
    for (int c = 0; c < in.channels; ++c)
      for (int n = 0; n < IMAGES; ++n) {
        const int64_t e = op.exponentials[maximum[n] - from[c * plane + n]];
        const int64_t y = ((softmax::multiplied(inverse[n], e) + half[n]) >> shift[n]) - 128;
        to[c * plane + n] = int8_t(y < 127 ? y : 127);
      }
  }
}

}  // namespace axynq
