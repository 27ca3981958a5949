// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// The bank of a memory that is read is chosen by a variable: each bank has as many reads as there
// are readers. Where each bank has an address of its own there is one.
#include "axynq/pragmas.hpp"

const int BANKS = 8, READERS = 4, DEPTH = 1024;

void top(const signed char from[DEPTH], const int channel[READERS], int words,
         signed char to[DEPTH]) {
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=from)
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=to)
  AXYNQ_PRAGMA(HLS ARRAY_PARTITION variable=channel type=complete dim=1)
  signed char memory[BANKS][DEPTH];
  AXYNQ_PRAGMA(HLS ARRAY_PARTITION variable=memory type=complete dim=1)
  AXYNQ_PRAGMA(HLS BIND_STORAGE variable=memory type=ram_s2p impl=bram)
FILL:
  for (int i = 0; i < words; ++i) {
    AXYNQ_PIPELINE
    for (int b = 0; b < BANKS; ++b) {
      AXYNQ_UNROLL
      memory[b][i] = from[i];
    }
  }
READ:
  for (int i = 0; i < words; ++i) {
    AXYNQ_PIPELINE
    signed char sum = 0;
#if defined(CLEAN)
    signed char value[BANKS];
    AXYNQ_PRAGMA(HLS ARRAY_PARTITION variable=value type=complete dim=0)
    for (int b = 0; b < BANKS; ++b) {
      AXYNQ_UNROLL
      value[b] = memory[b][i];
    }
    for (int r = 0; r < READERS; ++r) {
      AXYNQ_UNROLL
      sum += value[channel[r] & (BANKS - 1)];
    }
#else
    for (int r = 0; r < READERS; ++r) {
      AXYNQ_UNROLL
      sum += memory[channel[r] & (BANKS - 1)][i];
    }
#endif
    to[i] = sum;
  }
}
