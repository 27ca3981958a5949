// Tiles: the output rows that are computed at a time, and the input rows they see.
#ifndef AXYNQ_TILE_HPP
#define AXYNQ_TILE_HPP

#include "axynq/memory.hpp"

namespace axynq {

typedef ap_uint<16> rows_t;
typedef ap_int<18> row_t;  // of the input: above it, below zero

struct tile_t {
  row_t top;               // of the windows of the tile's first row
  rows_t rows;             // of the output
  rows_t first_input_row;  // inside the input
  rows_t input_rows;
};

// Goes through the tiles of an image, and those of the next.
struct tile_cursor {
  rows_t index;
  row_t top;

  void start(const phase_t &phase) {
    AXYNQ_INLINE
    index = 0;
    top = -row_t(phase.padding_top);
  }

  bool last(const phase_t &phase) const {
    AXYNQ_INLINE
    return index == phase.tiles - 1;
  }

  void next(const phase_t &phase) {
    AXYNQ_INLINE
    if (last(phase)) {
      start(phase);
    } else {
      ++index;
      top += phase.tile_stride;
    }
  }

  tile_t tile(const phase_t &phase) const {
    AXYNQ_INLINE
    const row_t height = phase.input_rows;
    const row_t behind = top + (last(phase) ? phase.last_tile_span : phase.tile_span) + 1;
    const row_t first = top < 0 ? row_t(0) : top > height ? height : top;
    const row_t end = behind > height ? height : behind;
    tile_t tile;
    tile.top = top;
    tile.rows = last(phase) ? phase.last_tile_rows : phase.tile_rows;
    tile.first_input_row = first;
    tile.input_rows = end > first ? rows_t(end - first) : rows_t(0);
    return tile;
  }
};

// What a phase moves between on-chip and external memory.
struct transfers_t {
  bool source, residual, ahead, destination;
};

inline transfers_t transfers_of(const phase_t &phase, bool begins, place_t images,
                                place_t image) {
  AXYNQ_INLINE
  transfers_t moved;
  moved.source = !begins && phase.source_loaded && !(phase.source_ahead && image != 0);
  moved.residual = !begins && phase.residual_loaded;
  moved.ahead = !begins && phase.ahead_words != 0 && image + 1 < images;
  moved.destination = !begins && phase.destination_stored;
  return moved;
}

// Images that a call of the phase computes.
inline place_t images_of(const phase_t &phase, place_t images) {
  AXYNQ_INLINE
  return phase.whole_batch ? images : place_t(1);
}

}  // namespace axynq

#endif
