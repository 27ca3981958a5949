// Layers without weights: pooling, mean and padding. Each byte lane computes its channel.
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
        int i = 0, j = 0;
      WINDOW:
        for (int step = 0; step < layer.kernel_rows * layer.kernel_columns; ++step) {
          AXYNQ_PIPELINE
          const int y = (tile.first_row + row) * layer.stride_rows - layer.padding_top + i;
          const int x = column * layer.stride_columns - layer.padding_left + j;
          const bool inside = y >= 0 && y < layer.input_rows && x >= 0 && x < layer.input_columns;
          const int place =
              ((y - tile.first_input_row) * layer.input_columns + x) * layer.input_pixel_words +
              word;
          count += inside ? 1 : 0;
          for (int b = 0; b < INPUTS; ++b) {
            AXYNQ_UNROLL
            const std::int32_t before = step > 0 ? totals[b] : is_maximum ? -128 : 0;
            const std::int32_t value = inside ? int(input[b][place]) : is_maximum ? -128 : 0;
            totals[b] = is_maximum ? maximum(before, value) : before + value;
          }
          if (++j == layer.kernel_columns) {
            j = 0;
            ++i;
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
        AXYNQ_COUNT(COUNT_FINISH_STEPS, INPUTS);
      }
    }
  }
}

}  // namespace axynq

#endif
