// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Words of external memory, the ports they come through, and the loops that move them.
#ifndef AXYNQ_MEMORY_HPP
#define AXYNQ_MEMORY_HPP

#include <ap_int.h>

#include <cstdint>

#include "axynq/counters.hpp"
#include "axynq/isa.hpp"
#include "axynq/overlay.hpp"
#include "axynq/pragmas.hpp"

namespace axynq {

// One byte per input of a lane.
typedef ap_uint<8 * INPUTS> word_t;

// What crosses a port in a cycle: a word, or a part of one.
typedef ap_uint<PORT_BITS> beat_t;
const int BEATS = 8 * INPUTS / PORT_BITS;

// Places in external memory, in words.
typedef ap_uint<32> place_t;

const int WORD_INTEGERS = INPUTS / 4;
const int RECORD_WORDS = RECORD_INTEGERS / WORD_INTEGERS;

// The byte and the 32-bit integer at a place that is constant once loops are unrolled.
inline std::int8_t byte_of(const word_t &word, int index) {
  AXYNQ_INLINE
  return std::int8_t(std::uint8_t(ap_uint<8>(word >> (8 * index))));
}

inline std::int32_t integer_of(const word_t &word, int index) {
  AXYNQ_INLINE
  return std::int32_t(std::uint32_t(ap_uint<32>(word >> (32 * index))));
}

}  // namespace axynq

#endif
