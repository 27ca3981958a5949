// Folding: with few channels a byte lane per channel would leave most multipliers idle, so the byte
// lanes take neighbouring taps of the kernel as well.
#ifndef AXYNQ_FOLD_HPP
#define AXYNQ_FOLD_HPP

#include <cstdint>

#include "axynq/layer.hpp"
#include "axynq/overlay.hpp"
#include "axynq/pragmas.hpp"

namespace axynq {

// What byte lane b holds: byte `source` of each word, seen `rows` and `columns` further on.
// Without folding that is byte b where it lies.
struct fold_t {
  std::uint8_t source[INPUTS];
  std::int16_t rows[INPUTS];
  std::int16_t columns[INPUTS];
  int offsets[INPUTS];  // how far on that is in the input buffer, in words
};

inline fold_t fold_of(const layer_t &layer) {
  AXYNQ_NO_INLINE
  const bool folded = layer.fold_rows * layer.fold_columns > 1;
  fold_t fold;
  int channel = 0, row = 0, column = 0;
FOLD:
  for (int b = 0; b < INPUTS; ++b) {
    AXYNQ_PIPELINE
    fold.source[b] = std::uint8_t(folded ? channel : b);
    fold.rows[b] = std::int16_t(row * layer.dilation_rows);
    fold.columns[b] = std::int16_t(column * layer.dilation_columns);
    fold.offsets[b] =
        (row * layer.dilation_rows * layer.input_columns + column * layer.dilation_columns) *
        layer.input_pixel_words;
    if (folded && ++channel == layer.fold_channels) {
      channel = 0;
      if (++column == layer.fold_columns) {
        column = 0;
        if (++row == layer.fold_rows) row = 0;  // what is left over has weights of zero
      }
    }
  }
  return fold;
}

}  // namespace axynq

#endif
