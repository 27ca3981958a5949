// Words of external memory and the ports they come through.
#ifndef AXYNQ_MEMORY_HPP
#define AXYNQ_MEMORY_HPP

#include <ap_int.h>

#include <cstdint>

#include "axynq/counters.hpp"
#include "axynq/overlay.hpp"
#include "axynq/pragmas.hpp"

#if defined(AXYNQ_SIMULATION)
#include "axynq/checked_port.hpp"
#endif

namespace axynq {

// One byte per input of a lane.
typedef ap_uint<8 * INPUTS> word_t;

// On a device a port is a pointer. The simulation checks each access.
#if defined(AXYNQ_SIMULATION)
typedef checked_port<word_t> read_port_t;
typedef checked_port<word_t> write_port_t;
#else
typedef const word_t *read_port_t;
typedef word_t *write_port_t;
#endif

inline std::int8_t byte_of(const word_t &word, int index) {
  AXYNQ_INLINE
  return std::int8_t(std::uint8_t(ap_uint<8>(word >> (8 * index))));
}

// The 32-bit integer at a place counted in integers from the start of an array of words.
const int WORD_INTEGERS = INPUTS / 4;

inline std::int32_t integer_of(const word_t &word, int index) {
  AXYNQ_INLINE
  return std::int32_t(std::uint32_t(ap_uint<32>(word >> (32 * index))));
}

}  // namespace axynq

#endif
