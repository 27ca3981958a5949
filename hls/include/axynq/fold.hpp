// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Folding: with few channels a byte lane per channel would leave most multipliers idle, so the byte
// lanes take neighbouring taps of the kernel as well.
#ifndef AXYNQ_FOLD_HPP
#define AXYNQ_FOLD_HPP

#include "axynq/memories.hpp"

namespace axynq {

// How much further on each byte lane looks. Without folding, nowhere else. Bytes that are left over
// look nowhere: their weights are zero, and what lies behind a tile may just be coming in.
typedef ap_uint<bits_below(MAX_FOLD_DISTANCE + 1)> distance_t;

struct fold_t {
  distance_t rows[INPUTS];
  distance_t columns[INPUTS];
  address_t words[INPUTS];
  bool used[INPUTS];
};

// The distances from a place at which the map is: from `first` on, below `end`.
struct reach_t {
  ap_uint<bits_below(MAX_FOLD_DISTANCE + 2)> first, end;
};

template <class COORDINATE, class SIZE>
inline reach_t reach_of(COORDINATE place, SIZE size) {
  AXYNQ_INLINE
  // Of places far off, a coordinate may not hold the distance.
  const ap_int<18> before = -ap_int<18>(place), left = ap_int<18>(size) - ap_int<18>(place);
  reach_t reach;
  reach.first = place >= 0 ? 0 : before > MAX_FOLD_DISTANCE ? MAX_FOLD_DISTANCE + 1 : int(before);
  reach.end = left <= 0 ? 0 : left > MAX_FOLD_DISTANCE ? MAX_FOLD_DISTANCE + 1 : int(left);
  return reach;
}

inline bool reaches(const reach_t &reach, distance_t distance) {
  AXYNQ_INLINE
  return distance >= reach.first && distance < reach.end;
}

inline void fold_of(const phase_t &phase, fold_t &fold) {
  AXYNQ_NO_INLINE
  for (int b = 0; b < INPUTS; ++b) {
    AXYNQ_UNROLL
    fold.rows[b] = 0;
    fold.columns[b] = 0;
    fold.words[b] = 0;
    fold.used[b] = true;
  }
  if (phase.fold_channels == 0) return;
  countdown<8> channel, columns;  // of a tap, of a row of taps
  channel.start(phase.fold_channels);
  columns.start(phase.fold_columns);
  const bool single_channel = phase.fold_channels == 1, single_column = phase.fold_columns == 1;
  distance_t row = 0, column = 0;
  address_t row_words = 0, words = 0;
  AXYNQ_LOOP(FOLD)
  for (int step = 0; step < INPUTS; ++step) {
    AXYNQ_PIPELINE
    // Each byte lane's figures move down to it from the last one's.
    for (int b = 0; b + 1 < INPUTS; ++b) {
      AXYNQ_UNROLL
      fold.rows[b] = fold.rows[b + 1];
      fold.columns[b] = fold.columns[b + 1];
      fold.words[b] = fold.words[b + 1];
      fold.used[b] = fold.used[b + 1];
    }
    fold.rows[INPUTS - 1] = row;
    fold.columns[INPUTS - 1] = column;
    fold.words[INPUTS - 1] = words;
    fold.used[INPUTS - 1] = row < phase.kernel_row_step;
    const bool tap_ends = channel.last;
    const bool row_ends = tap_ends && columns.last;
    const distance_t next_column = column + phase.fold_column_step;
    const address_t next_words = words + address_t(phase.fold_column_words);
    const address_t next_row_words = row_words + address_t(phase.fold_row_words);
    channel.next(phase.fold_channels, single_channel);
    if (tap_ends) columns.next(phase.fold_columns, single_column);
    column = row_ends ? distance_t(0) : tap_ends ? next_column : column;
    words = row_ends ? next_row_words : tap_ends ? next_words : words;
    if (row_ends) {
      row += phase.fold_row_step;
      row_words = next_row_words;
    }
  }
}

}  // namespace axynq

#endif
