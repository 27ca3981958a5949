// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Small things that everything uses.
#ifndef AXYNQ_NUMBERS_HPP
#define AXYNQ_NUMBERS_HPP

#include <ap_int.h>

#include "axynq/pragmas.hpp"

namespace axynq {

// Bits that count from 0 to one less than n.
constexpr int bits_below(int n) { return n <= 2 ? 1 : 1 + bits_below((n + 1) / 2); }

// The power of two that is at least n.
constexpr int power_above(int n) { return n <= 1 ? 1 : 2 * power_above((n + 1) / 2); }

// Counts down from a number. Whether it is at its last is known a step ahead, so that no decision
// waits for an addition and a comparison.
template <int BITS>
struct countdown {
  ap_uint<BITS> left;
  bool last;

  void start(ap_uint<BITS> count) {
    AXYNQ_INLINE
    left = count;
    last = count == 1;
  }

  // One down; behind the last it starts again with `count`, of which `single` says whether it is 1.
  void next(ap_uint<BITS> count, bool single) {
    AXYNQ_INLINE
    const bool second = left == 2;
    left = last ? count : ap_uint<BITS>(left - 1);
    last = last ? single : second;
  }
};

}  // namespace axynq

#endif
