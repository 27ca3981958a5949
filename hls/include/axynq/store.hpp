// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// The process that writes feature maps.
#ifndef AXYNQ_STORE_HPP
#define AXYNQ_STORE_HPP

#include "axynq/ports.hpp"
#include "axynq/tile.hpp"

namespace axynq {

// Bursts that may be on their way before the answer to the first is waited for.
const int BURSTS_ON_THE_WAY = 4;

// For each tile and copy its words of each pixel: a single run where they are the whole pixel.
inline void store(const phase_t &phase, const places_t &places, place_t images, channel_t &from,
                  write_port_t destination) {
  AXYNQ_NO_INLINE
  if (places.tiles == 0 || !phase.destination_stored) return;
  const bool whole = phase.store_pixel_words == phase.output_pixel_words;
  place_t map = places.destination;
  ap_uint<4> on_the_way = 0;
  AXYNQ_LOOP(IMAGES)
  for (place_t n = places.image; n < places.end; n += COPIES) {
    const copies_t copies = copies_from(images, n);
    place_t rows_before = 0;  // words of them
    AXYNQ_LOOP(TILES)
    for (rows_t t = 0; t < phase.tiles; ++t) {
      const rows_t rows = t == phase.tiles - 1 ? phase.last_tile_rows : phase.tile_rows;
      const place_t runs = whole ? place_t(1) : place_t(rows * phase.output_columns);
      const place_t words =
          whole ? place_t(rows * phase.store_row_words) : place_t(phase.store_pixel_words);
      place_t first = map + rows_before;
      AXYNQ_LOOP(COPIES_STORED)
      for (copies_t copy = 0; copy < copies; ++copy) {
        place_t run_place = first;
        AXYNQ_LOOP(RUNS)
        for (place_t run = 0; run < runs; ++run) {
          if (on_the_way == BURSTS_ON_THE_WAY) {
            destination.write_response();
            --on_the_way;
          }
          destination.write_request(std::size_t(run_place) * BEATS, std::size_t(words) * BEATS);
          write_words(destination, words, from);
          ++on_the_way;
          run_place += phase.output_pixel_words;
          AXYNQ_COUNT(COUNT_STORE_WORDS, words);
          AXYNQ_COUNT(COUNT_STORE_BURSTS, 1);
        }
        first += phase.destination_image_words;
      }
      rows_before += rows * phase.output_row_words;
    }
    map += place_t(phase.destination_image_words) * COPIES;
  }
  // What was written is there when the process ends: the next phase may read it.
  AXYNQ_LOOP(ANSWERS)
  for (; on_the_way > 0; --on_the_way) destination.write_response();
}

}  // namespace axynq

#endif
