// Folding: with few channels a byte lane per channel would leave most multipliers idle, so the byte
// lanes take neighbouring taps of the kernel as well.
#ifndef AXYNQ_FOLD_HPP
#define AXYNQ_FOLD_HPP

#include "axynq/memories.hpp"

namespace axynq {

// How much further on each byte lane looks. Without folding, nowhere else.
struct fold_t {
  ap_uint<12> rows[INPUTS];
  ap_uint<12> columns[INPUTS];
  address_t words[INPUTS];
};

inline void fold_of(const phase_t &phase, fold_t &fold) {
  AXYNQ_NO_INLINE
  const bool folded = phase.fold_channels != 0;
  ap_uint<8> channel = 0, columns = 0;
  ap_uint<12> row = 0, column = 0;
  address_t row_words = 0, words = 0;
  AXYNQ_LOOP(FOLD)
  for (int b = 0; b < INPUTS; ++b) {
    AXYNQ_UNROLL
    fold.rows[b] = row;
    fold.columns[b] = column;
    fold.words[b] = words;
    ++channel;
    if (folded && channel == phase.fold_channels) {
      channel = 0;
      ++columns;
      column += phase.fold_column_step;
      words += address_t(phase.fold_column_words);
      if (columns == phase.fold_columns) {
        columns = 0;
        column = 0;
        row += phase.fold_row_step;
        row_words += address_t(phase.fold_row_words);
        words = row_words;
      }
    }
  }
}

}  // namespace axynq

#endif
