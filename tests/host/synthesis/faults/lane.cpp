// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// The lane whose sum goes on is chosen by a variable, which takes a choice among all lanes for
// each output; where the loop goes through the lanes of a step in order, some of the lanes do.
#include "axynq/pragmas.hpp"

const int LANES = 16, OUTPUTS = 4;

void top(const int *source, int *destination, int words) {
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=source)
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=destination)
  int sums[LANES];
  AXYNQ_REGISTERS(sums)
  for (int lane = 0; lane < LANES; ++lane) {
    AXYNQ_UNROLL
    sums[lane] = 0;
  }
SUM:
  for (int i = 0; i < words; ++i) {
    AXYNQ_PIPELINE
    for (int lane = LANES - 1; lane > 0; --lane) {
      AXYNQ_UNROLL
      sums[lane] = sums[lane - 1];
    }
    sums[0] = source[i];
  }
  int lane = 0;
FINISH:
  for (int step = 0; step < LANES / OUTPUTS; ++step) {
    AXYNQ_PIPELINE
    int total = 0;
    for (int r = 0; r < OUTPUTS; ++r) {
      AXYNQ_UNROLL
#if defined(CLEAN)
      total ^= sums[r];
#else
      total ^= sums[lane + r];
#endif
    }
#if defined(CLEAN)
    for (int l = 0; l + OUTPUTS < LANES; ++l) {
      AXYNQ_UNROLL
      sums[l] = sums[l + OUTPUTS];
    }
#else
    lane += OUTPUTS;
#endif
    destination[step] = total;
  }
}
