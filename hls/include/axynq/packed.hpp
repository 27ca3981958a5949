// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// A row of small integers that a memory holds as one element.
#ifndef AXYNQ_PACKED_HPP
#define AXYNQ_PACKED_HPP

#include <ap_int.h>

#include <cstdint>

#include "axynq/pragmas.hpp"

namespace axynq {

// COUNT integers of BITS bits, the first lowest. In simulation bytes: wide ap_uints are slow.
template <int BITS, int COUNT>
struct packed {
#if defined(AXYNQ_SIMULATION)
  struct type {
    std::uint8_t values[COUNT];
  };
#else
  typedef ap_uint<BITS * COUNT> type;
#endif

  // The lowest bits of a wider word.
  template <int WIDTH>
  static type from(const ap_uint<WIDTH> &word) {
    AXYNQ_INLINE
#if defined(AXYNQ_SIMULATION)
    type row;
    ap_uint<WIDTH> rest = word;
    for (int i = 0; i < COUNT; ++i) {
      row.values[i] = std::uint8_t(ap_uint<BITS>(rest).to_uint());
      rest = rest >> BITS;
    }
    return row;
#else
    return type(word);
#endif
  }

  static int others_than_zero(const type &row) {
    int count = 0;
    for (int i = 0; i < COUNT; ++i) count += at(row, i) != 0;
    return count;
  }

  static ap_uint<BITS> at(const type &row, int index) {
    AXYNQ_INLINE
#if defined(AXYNQ_SIMULATION)
    return row.values[index];
#else
    return ap_uint<BITS>(row >> (BITS * index));
#endif
  }
};

}  // namespace axynq

#endif
