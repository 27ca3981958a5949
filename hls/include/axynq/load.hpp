// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// The process that reads feature maps.
#ifndef AXYNQ_LOAD_HPP
#define AXYNQ_LOAD_HPP

#include "axynq/ports.hpp"
#include "axynq/tile.hpp"

namespace axynq {

inline void load_run(read_port_t source, place_t first, place_t words, ap_uint<8> fold_channels,
                     channel_t &to) {
  AXYNQ_INLINE
  read_words<true>(source, first, words, fold_channels, to);
  AXYNQ_COUNT(COUNT_LOAD_WORDS, words);
  AXYNQ_COUNT(COUNT_LOAD_BURSTS, words > 0 ? 1 : 0);
}

// For each tile and copy its input rows, then the rows of the residual operand; in the end the next
// images' input.
inline void load(const phase_t &phase, const places_t &places, place_t images, place_t image,
                 read_port_t source, channel_t &to) {
  AXYNQ_NO_INLINE
  if (places.tiles == 0) return;
  const transfers_t moved = transfers_of(phase, images, image);
  if (moved.source || moved.residual) {
    place_t first_input = places.source;
    place_t first_residual = places.residual;
    AXYNQ_LOOP(IMAGES)
    for (place_t n = places.image; n < places.end; n += COPIES) {
      const copies_t copies = copies_from(images, n);
      place_t rows_before = 0;  // words of them
      tile_cursor at;
      at.start(phase);
      AXYNQ_LOOP(TILES)
      for (rows_t t = 0; t < phase.tiles; ++t) {
        const tile_t tile = at.tile(phase);
        const place_t input_words = tile.input_rows * phase.input_row_words;
        // Of the output's shape: added to it where it leaves the lanes.
        const place_t residual_words = tile.rows * phase.output_row_words;
        place_t input = first_input + tile.first_input_row * phase.input_row_words;
        place_t residual = first_residual + rows_before;
        AXYNQ_LOOP(COPIES_LOADED)
        for (copies_t copy = 0; copy < copies; ++copy) {
          if (moved.source) load_run(source, input, input_words, phase.fold_channels, to);
          if (moved.residual) load_run(source, residual, residual_words, 0, to);
          input += phase.source_image_words;
          residual += phase.residual_image_words;
        }
        rows_before += residual_words;
        at.next(phase);
      }
      first_input += place_t(phase.source_image_words) * COPIES;
      first_residual += place_t(phase.residual_image_words) * COPIES;
    }
  }
  if (moved.ahead) {
    const copies_t copies = copies_from(images, image + COPIES);
    place_t ahead = places.ahead;
    AXYNQ_LOOP(COPIES_AHEAD)
    for (copies_t copy = 0; copy < copies; ++copy) {
      load_run(source, ahead, phase.ahead_words, 0, to);
      ahead += phase.ahead_image_words;
    }
  }
}

}  // namespace axynq

#endif
