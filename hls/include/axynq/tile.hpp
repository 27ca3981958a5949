// Tiles: the rows of a feature map that are on chip at a time, moved in and out in bursts.
#ifndef AXYNQ_TILE_HPP
#define AXYNQ_TILE_HPP

#include "axynq/fold.hpp"
#include "axynq/layer.hpp"
#include "axynq/memory.hpp"
#include "axynq/pragmas.hpp"

namespace axynq {

// On-chip feature maps: byte b of each word lies in bank b, so that banks can be addressed apart.
typedef std::int8_t input_buffer_t[INPUTS][INPUT_WORDS];
typedef std::int8_t output_buffer_t[INPUTS][OUTPUT_WORDS];

struct tile_t {
  int image;
  int first_row, rows;              // of the output
  int first_input_row, input_rows;  // inside the input map
};

inline int minimum(int a, int b) {
  AXYNQ_INLINE
  return a < b ? a : b;
}

inline int maximum(int a, int b) {
  AXYNQ_INLINE
  return a > b ? a : b;
}

inline int tiles_per_image(const layer_t &layer) {
  AXYNQ_INLINE
  return (layer.output_rows + layer.tile_rows - 1) / layer.tile_rows;
}

inline tile_t tile_at(const layer_t &layer, int index) {
  AXYNQ_INLINE
  const int per_image = tiles_per_image(layer);
  tile_t tile;
  tile.image = index / per_image;
  tile.first_row = (index - tile.image * per_image) * layer.tile_rows;
  tile.rows = minimum(layer.tile_rows, layer.output_rows - tile.first_row);
  const int top = tile.first_row * layer.stride_rows - layer.padding_top;
  const int bottom = top + (tile.rows - 1) * layer.stride_rows + kernel_extent(layer) - 1;
  tile.first_input_row = minimum(maximum(top, 0), layer.input_rows);
  tile.input_rows = maximum(minimum(bottom, layer.input_rows - 1) - tile.first_input_row + 1, 0);
  return tile;
}

// Whole rows are contiguous: one burst.
template <int WORDS>
void load_words(read_port_t source, std::int64_t first, int words, const fold_t &fold,
                std::int8_t buffer[INPUTS][WORDS]) {
  AXYNQ_NO_INLINE
LOAD:
  for (int i = 0; i < words; ++i) {
    AXYNQ_PIPELINE
    const word_t word = source[first + i];
    for (int b = 0; b < INPUTS; ++b) {
      AXYNQ_UNROLL
      buffer[b][i] = byte_of(word, fold.source[b]);
    }
  }
  AXYNQ_COUNT(COUNT_LOAD_WORDS, words);
  AXYNQ_COUNT(COUNT_LOAD_BURSTS, words > 0 ? 1 : 0);
}

inline void load_tile(const layer_t &layer, const fold_t &fold, int index, int images,
                      read_port_t source, input_buffer_t input, output_buffer_t residual) {
  AXYNQ_NO_INLINE
  const tile_t tile = tile_at(layer, index);
  const int row_words = layer.input_columns * layer.input_pixel_words;
  load_words<INPUT_WORDS>(
      source,
      image_at(layer.source_offset, layer.source_image_words, images, tile.image) +
          tile.first_input_row * row_words,
      tile.input_rows * row_words, fold, input);
  if (layer.has_residual) {
    // Of the output's shape: added to it where it leaves the lanes.
    fold_t plain;
    for (int b = 0; b < INPUTS; ++b) {
      AXYNQ_UNROLL
      plain.source[b] = std::uint8_t(b);
    }
    const int output_words = layer.output_columns * layer.output_pixel_words;
    load_words<OUTPUT_WORDS>(
        source,
        image_at(layer.residual_offset, layer.residual_image_words, images, tile.image) +
            tile.first_row * output_words,
        tile.rows * output_words, plain, residual);
  }
}

// A block's words of each pixel; a single burst where the block is the whole pixel.
inline void store_tile(const layer_t &layer, int index, int block, int images,
                       output_buffer_t output, write_port_t destination) {
  AXYNQ_NO_INLINE
  const tile_t tile = tile_at(layer, index);
  const int first_word = block * layer.block_pixel_words;
  const int words = minimum(layer.block_pixel_words, layer.output_pixel_words - first_word);
  const bool whole = words == layer.output_pixel_words;
  const int pixels = tile.rows * layer.output_columns;
  const int runs = whole ? 1 : pixels;
  const int run_words = whole ? pixels * words : words;
  const std::int64_t first =
      image_at(layer.destination_offset, layer.destination_image_words, images, tile.image) +
      std::int64_t(tile.first_row) * layer.output_columns * layer.output_pixel_words + first_word;
RUNS:
  for (int run = 0; run < runs; ++run) {
  STORE:
    for (int i = 0; i < run_words; ++i) {
      AXYNQ_PIPELINE
      word_t word = 0;
      for (int b = INPUTS - 1; b >= 0; --b) {
        AXYNQ_UNROLL
        word = (word << 8) | word_t(std::uint8_t(output[b][run * layer.block_pixel_words + i]));
      }
      destination[first + std::int64_t(run) * layer.output_pixel_words + i] = word;
    }
    AXYNQ_COUNT(COUNT_STORE_WORDS, run_words);
    AXYNQ_COUNT(COUNT_STORE_BURSTS, 1);
  }
}

}  // namespace axynq

#endif
