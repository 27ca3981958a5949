// Folding: with few channels a byte lane per channel would leave most multipliers idle, so the byte
// lanes take neighbouring taps of the kernel as well.
#ifndef AXYNQ_FOLD_HPP
#define AXYNQ_FOLD_HPP

#include "axynq/memories.hpp"

namespace axynq {

// How much further on each byte lane looks. Without folding, nowhere else. Bytes that are left over
// look beyond every map: their weights are zero, and what lies behind a tile may just be coming in.
const int BEYOND_ALL_COLUMNS = 2 * 4096;

struct fold_t {
  ap_uint<12> rows[INPUTS];
  ap_uint<14> columns[INPUTS];
  address_t words[INPUTS];
};

inline void fold_of(const phase_t &phase, fold_t &fold) {
  AXYNQ_NO_INLINE
  for (int b = 0; b < INPUTS; ++b) {
    AXYNQ_UNROLL
    fold.rows[b] = 0;
    fold.columns[b] = 0;
    fold.words[b] = 0;
  }
  if (phase.fold_channels == 0) return;
  ap_uint<8> channel = 0, columns = 0;
  ap_uint<12> row = 0, column = 0;
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
    }
    fold.rows[INPUTS - 1] = row;
    const bool left_over = row >= phase.kernel_row_step;
    fold.columns[INPUTS - 1] = left_over ? ap_uint<14>(BEYOND_ALL_COLUMNS) : ap_uint<14>(column);
    fold.words[INPUTS - 1] = words;
    const ap_uint<8> next_channel = channel + 1, more_columns = columns + 1;
    const bool tap_ends = next_channel == phase.fold_channels;
    const bool row_ends = tap_ends && more_columns == phase.fold_columns;
    const ap_uint<12> next_column = column + phase.fold_column_step;
    const address_t next_words = words + address_t(phase.fold_column_words);
    const address_t next_row_words = row_words + address_t(phase.fold_row_words);
    channel = tap_ends ? ap_uint<8>(0) : next_channel;
    columns = row_ends ? ap_uint<8>(0) : tap_ends ? more_columns : columns;
    column = row_ends ? ap_uint<12>(0) : tap_ends ? next_column : column;
    words = row_ends ? next_row_words : tap_ends ? next_words : words;
    if (row_ends) {
      row += phase.fold_row_step;
      row_words = next_row_words;
    }
  }
}

}  // namespace axynq

#endif
