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

// For each tile its input rows, then the rows of the residual operand; in the end the next image's
// input.
inline void load(const phase_t &phase, const places_t &places, place_t images, place_t image,
                 read_port_t source, channel_t &to) {
  AXYNQ_NO_INLINE
  if (places.tiles == 0) return;
  const transfers_t moved = transfers_of(phase, images, image);
  if (moved.source || moved.residual) {
    const place_t count = images_of(phase, images);
    place_t input = places.source;
    place_t residual = places.residual;
    AXYNQ_LOOP(IMAGES)
    for (place_t n = 0; n < count; ++n) {
      place_t residual_rows = residual;
      tile_cursor at;
      at.start(phase);
      AXYNQ_LOOP(TILES)
      for (rows_t t = 0; t < phase.tiles; ++t) {
        const tile_t tile = at.tile(phase);
        if (moved.source)
          load_run(source, input + tile.first_input_row * phase.input_row_words,
                   tile.input_rows * phase.input_row_words, phase.fold_channels, to);
        if (moved.residual) {
          // Of the output's shape: added to it where it leaves the lanes.
          const place_t words = tile.rows * phase.output_row_words;
          load_run(source, residual_rows, words, 0, to);
          residual_rows += words;
        }
        at.next(phase);
      }
      input += phase.source_image_words;
      residual += phase.residual_image_words;
    }
  }
  if (moved.ahead) load_run(source, places.ahead, phase.ahead_words, 0, to);
}

}  // namespace axynq

#endif
