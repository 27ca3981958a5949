// Layers without weights: pooling, mean, padding and addition. Each byte lane computes its channel.
#ifndef AXYNQ_ELEMENTWISE_HPP
#define AXYNQ_ELEMENTWISE_HPP

#include "axynq/requantise.hpp"
#include "axynq/tile.hpp"

namespace axynq {

// total / count, halves away from zero.
inline std::int32_t rounded_quotient(std::int32_t total, int count) {
  AXYNQ_INLINE
  const int half = count / 2;
  return (total > 0 ? total + half : total - half) / count;
}

// Maximum, average or scaled sum of a window, over its positions inside the map. With a window of
// one position this pads.
inline void pool_tile(const layer_t &layer, int index, const input_buffer_t input,
                      output_buffer_t output) {
  AXYNQ_NO_INLINE
  const tile_t tile = tile_at(layer, index);
  const bool is_maximum = layer.opcode == OPCODE_MAX_POOL;
  std::int32_t totals[INPUTS];
  AXYNQ_REGISTERS(totals)
ROWS:
  for (int row = 0; row < tile.rows; ++row) {
  COLUMNS:
    for (int column = 0; column < layer.output_columns; ++column) {
    WORDS:
      for (int word = 0; word < layer.output_pixel_words; ++word) {
        int count = 0;
        for (int b = 0; b < INPUTS; ++b) {
          AXYNQ_UNROLL
          totals[b] = is_maximum ? -128 : 0;
        }
      WINDOW_ROWS:
        for (int i = 0; i < layer.kernel_rows; ++i) {
        WINDOW_COLUMNS:
          for (int j = 0; j < layer.kernel_columns; ++j) {
            AXYNQ_PIPELINE
            const int y = (tile.first_row + row) * layer.stride_rows - layer.padding_top + i;
            const int x = column * layer.stride_columns - layer.padding_left + j;
            if (y >= 0 && y < layer.input_rows && x >= 0 && x < layer.input_columns) {
              const int place = ((y - tile.first_input_row) * layer.input_columns + x) *
                                    layer.input_pixel_words + word;
              ++count;
              for (int b = 0; b < INPUTS; ++b) {
                AXYNQ_UNROLL
                const std::int32_t value = input[b][place];
                if (is_maximum)
                  totals[b] = maximum(totals[b], value);
                else
                  totals[b] += value;
              }
            }
          }
        }
        AXYNQ_COUNT(COUNT_POOL_STEPS, layer.kernel_rows * layer.kernel_columns);
      FINISH:
        for (int b = 0; b < INPUTS; ++b) {
          AXYNQ_PIPELINE
          std::int32_t value = totals[b];
          if (layer.opcode == OPCODE_AVERAGE_POOL) value = rounded_quotient(value, maximum(count, 1));
          if (layer.opcode == OPCODE_MEAN)
            value = rescale(value - count * layer.source_zero_point,
                            layer.destination_factor.multiplier, layer.destination_factor.shift) +
                    layer.destination_zero_point;
          if (layer.opcode == OPCODE_PAD && count == 0) value = layer.destination_zero_point;
          output[b][(row * layer.output_columns + column) * layer.output_pixel_words + word] =
              clamp(value, layer.clamp_low, layer.clamp_high);
        }
      }
    }
  }
}

const int ADD_LEFT_SHIFT = 20;

// Both operands are widened, brought to one scale and added; the sum is brought to the output's.
inline void add_tile(const layer_t &layer, int index, const input_buffer_t input,
                     const output_buffer_t second, output_buffer_t output) {
  AXYNQ_NO_INLINE
  const tile_t tile = tile_at(layer, index);
  const int words = tile.rows * layer.output_columns * layer.output_pixel_words;
ADD:
  for (int i = 0; i < words; ++i) {
    AXYNQ_PIPELINE
    for (int b = 0; b < INPUTS; ++b) {
      AXYNQ_UNROLL
      const std::int32_t x = (input[b][i] - layer.source_zero_point) * (1 << ADD_LEFT_SHIFT);
      const std::int32_t y = (second[b][i] - layer.second_zero_point) * (1 << ADD_LEFT_SHIFT);
      const std::int32_t sum =
          rescale(x, layer.source_factor.multiplier, layer.source_factor.shift) +
          rescale(y, layer.second_factor.multiplier, layer.second_factor.shift);
      const std::int32_t scaled =
          rescale(sum, layer.destination_factor.multiplier, layer.destination_factor.shift);
      output[b][i] =
          clamp(scaled + layer.destination_zero_point, layer.clamp_low, layer.clamp_high);
    }
  }
  AXYNQ_COUNT(COUNT_ADD_STEPS, words);
}

}  // namespace axynq

#endif
