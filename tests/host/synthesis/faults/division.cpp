// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// A division in a pipelined loop, where a counter would do.
#include <ap_int.h>

#include "axynq/pragmas.hpp"

void top(const int *source, int *destination, int words, ap_uint<12> columns) {
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=source)
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=destination)
  ap_uint<12> column = 0, row = 0;
ROWS:
  for (ap_uint<12> i = 0; i < ap_uint<12>(words); ++i) {
    AXYNQ_PIPELINE
#if defined(CLEAN)
    destination[i] = source[i] + int(row);
    if (++column == columns) {
      column = 0;
      ++row;
    }
#else
    destination[i] = source[i] + int(i) / int(columns);
#endif
  }
}
