// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// On-chip memories of several banks.
//
// A bank has one port to read and one to write (ram_s2p). All banks are accessed at once, each at
// an address of its own: so no bank is ever chosen by a variable, which a scheduler would have to
// take for an access to each of them. A read always happens; the caller says whether the value is
// used, a write whether it happens. In synthesis a memory is an array [banks][depth], declared
// with AXYNQ_BLOCK_RAM or AXYNQ_LUT_RAM. In simulation it counts accesses and stops where a step
// needs more ports than there are, or where a loop reads what it wrote itself: a pipeline would
// read it too early.
#ifndef AXYNQ_BANKED_HPP
#define AXYNQ_BANKED_HPP

#include "axynq/pragmas.hpp"

#if defined(AXYNQ_SIMULATION)
#include "axynq/counted_memory.hpp"
#endif

namespace axynq {

template <class ELEMENT, int BANKS, int DEPTH>
struct banked {
  static_assert(DEPTH > 1 && (DEPTH & (DEPTH - 1)) == 0,
                "addresses of a power of two, of a bit at least, cannot leave a memory");
#if defined(AXYNQ_SIMULATION)
  typedef counted_memory<ELEMENT, BANKS, DEPTH> type;
#else
  typedef ELEMENT type[BANKS][DEPTH];
#endif
};

#if !defined(AXYNQ_SIMULATION)

template <class ELEMENT, int BANKS, int DEPTH, class ADDRESS>
inline void read_banks(ELEMENT (&memory)[BANKS][DEPTH], const bool (&)[BANKS],
                       const ADDRESS (&address)[BANKS], ELEMENT (&value)[BANKS]) {
  AXYNQ_INLINE
  for (int bank = 0; bank < BANKS; ++bank) {
    AXYNQ_UNROLL
    value[bank] = memory[bank][address[bank]];
  }
}

template <class ELEMENT, int BANKS, int DEPTH, class ADDRESS>
inline void write_banks(ELEMENT (&memory)[BANKS][DEPTH], const bool (&enable)[BANKS],
                        const ADDRESS (&address)[BANKS], const ELEMENT (&value)[BANKS]) {
  AXYNQ_INLINE
  for (int bank = 0; bank < BANKS; ++bank) {
    AXYNQ_UNROLL
    if (enable[bank]) memory[bank][address[bank]] = value[bank];
  }
}

#endif

#if defined(AXYNQ_SIMULATION)
#define AXYNQ_MEMORY(type, name) type name(#name);
#else
#define AXYNQ_MEMORY(type, name) type name;
#endif

// The same address in all banks.
template <class MEMORY, class ELEMENT, int BANKS, class ADDRESS>
inline void read_row(MEMORY &memory, bool used, ADDRESS address, ELEMENT (&value)[BANKS]) {
  AXYNQ_INLINE
  bool uses[BANKS];
  AXYNQ_REGISTERS(uses)
  ADDRESS addresses[BANKS];
  AXYNQ_REGISTERS(addresses)
  for (int bank = 0; bank < BANKS; ++bank) {
    AXYNQ_UNROLL
    uses[bank] = used;
    addresses[bank] = address;
  }
  read_banks(memory, uses, addresses, value);
}

template <class MEMORY, class ELEMENT, int BANKS, class ADDRESS>
inline void write_row(MEMORY &memory, const bool (&enable)[BANKS], ADDRESS address,
                      const ELEMENT (&value)[BANKS]) {
  AXYNQ_INLINE
  ADDRESS addresses[BANKS];
  AXYNQ_REGISTERS(addresses)
  for (int bank = 0; bank < BANKS; ++bank) {
    AXYNQ_UNROLL
    addresses[bank] = address;
  }
  write_banks(memory, enable, addresses, value);
}

}  // namespace axynq

#endif
