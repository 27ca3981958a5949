// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Nested counters of 32 bits, each compared with a variable, take longer than a clock cycle; narrow
// ones, whose ends are found one iteration ahead, do not.
#include <ap_int.h>

#include "axynq/pragmas.hpp"

void top(int *destination, int steps, int columns, int groups, int words) {
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=destination)
#if defined(CLEAN)
  typedef ap_uint<12> count_t;
  const count_t last_word = count_t(words - 1), last_group = count_t(groups - 1);
  count_t word = 0, group = 0, column = 0;
  bool word_ends = last_word == 0, group_ends = last_group == 0;
#else
  int word = 0, group = 0, column = 0;
#endif
COUNT:
#if defined(CLEAN)
  for (count_t i = 0; i < count_t(steps); ++i) {
#else
  for (int i = 0; i < steps; ++i) {
#endif
    AXYNQ_PIPELINE
    destination[i] = int(column);
#if defined(CLEAN)
    const bool carry = word_ends && group_ends;
    const count_t next_word = word_ends ? count_t(0) : count_t(word + 1);
    const count_t next_group = group_ends ? count_t(0) : count_t(group + 1);
    column = carry ? count_t(column + 1) : column;
    group_ends = word_ends ? next_group == last_group : group_ends;
    group = word_ends ? next_group : group;
    word_ends = next_word == last_word;
    word = next_word;
#else
    if (++word == words) {
      word = 0;
      if (++group == groups) {
        group = 0;
        if (++column == columns) column = 0;
      }
    }
#endif
  }
}
