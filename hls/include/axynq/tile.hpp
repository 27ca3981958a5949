// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Tiles: the output rows that are computed at a time, and the input rows they see.
#ifndef AXYNQ_TILE_HPP
#define AXYNQ_TILE_HPP

#include "axynq/memory.hpp"
#include "axynq/numbers.hpp"

namespace axynq {

const int COPY_BITS = COPIES == 1 ? 0 : bits_below(COPIES);
typedef ap_uint<COPY_BITS + 1> copies_t;

// The copies of the array that have an image, where `first` is that of the first.
inline copies_t copies_from(place_t images, place_t first) {
  AXYNQ_INLINE
  const place_t left = images - first;
  return left < COPIES ? copies_t(left) : copies_t(COPIES);
}

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

inline transfers_t transfers_of(const phase_t &phase, place_t images, place_t image) {
  AXYNQ_INLINE
  transfers_t moved;
  moved.source = phase.source_loaded && !(phase.source_ahead && image != 0);
  moved.residual = phase.residual_loaded;
  moved.ahead = phase.ahead_words != 0 && image + COPIES < images;
  moved.destination = phase.destination_stored;
  return moved;
}

// Where a phase's maps are in external memory, how many tiles it has in all, and which images it
// computes: from one on, as many at a time as there are copies.
struct places_t {
  place_t source, residual, ahead, destination;
  place_t tiles;
  place_t image, end;
};

// Before the first phase there are no tiles. An offset counts words of an image: in a batch the
// maps of all images lie one behind the other. `turns`: how often the copies take images of the
// batch. Products are made one after the other, so that one multiplier of each kind does.
inline places_t places_of(const phase_t &phase, bool begins, place_t images, place_t turns,
                          place_t image) {
  AXYNQ_NO_INLINE
  const int MAPS_IN_MEMORY = 4;
  const ap_uint<31> offsets[MAPS_IN_MEMORY] = {phase.source_offset, phase.residual_offset,
                                               phase.ahead_offset, phase.destination_offset};
  AXYNQ_REGISTERS(offsets)
  const ap_uint<31> words[MAPS_IN_MEMORY] = {phase.source_image_words, phase.residual_image_words,
                                             phase.ahead_image_words,
                                             phase.destination_image_words};
  AXYNQ_REGISTERS(words)
  const place_t numbers[MAPS_IN_MEMORY] = {image, image, place_t(image + COPIES), image};
  AXYNQ_REGISTERS(numbers)
  place_t found[MAPS_IN_MEMORY];
  AXYNQ_REGISTERS(found)
  AXYNQ_LOOP(PLACES)
  for (int k = 0; k < MAPS_IN_MEMORY; ++k) {
    AXYNQ_PIPELINE
    found[k] = offsets[k] * images + words[k] * numbers[k];
  }
  places_t places;
  places.source = found[0];
  places.residual = found[1];
  places.ahead = found[2];
  places.destination = place_t(found[3] + phase.destination_first);
  const place_t own_turns = phase.whole_batch ? turns : place_t(1);
  places.tiles = begins ? place_t(0) : place_t(own_turns * phase.tiles);
  places.image = image;
  places.end = phase.whole_batch ? images : place_t(image + 1);
  return places;
}

}  // namespace axynq

#endif
