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

// Averages and means are divided or rescaled one byte lane a step, while the next word is summed.
// Maxima and padding need no more than a comparison.
inline int divide_steps(const layer_t &layer) {
  AXYNQ_INLINE
  return layer.opcode == OPCODE_AVERAGE_POOL || layer.opcode == OPCODE_MEAN ? INPUTS : 0;
}

// Sums of an output word that the divider has yet to finish.
struct undivided_t {
  std::int32_t totals[INPUTS];
  int count;    // positions inside the map
  int address;  // of the output word
  int lane;     // the next to divide; INPUTS: none
};

inline std::int8_t divided(const layer_t &layer, std::int32_t total, int count) {
  AXYNQ_INLINE
  const bool average = layer.opcode == OPCODE_AVERAGE_POOL;
  const std::int32_t value = average
                                 ? rounded_quotient(total, maximum(count, 1))
                                 : rescale(total - count * layer.source_zero_point,
                                           layer.destination_multiplier, layer.destination_shift);
  return quantised(value, average ? 0 : layer.destination_zero_point, layer.clamp_low,
                   layer.clamp_high);
}

// Maximum, average or scaled sum of a window, over its positions inside the map. With a window of
// one position this pads.
inline void pool_tile(const layer_t &layer, int index, const input_buffer_t input,
                      output_buffer_t output) {
  AXYNQ_NO_INLINE
  const tile_t tile = tile_at(layer, index);
  const bool is_maximum = layer.opcode == OPCODE_MAX_POOL;
  const int window = layer.kernel_rows * layer.kernel_columns;
  const int divide = divide_steps(layer);
  const int words = tile.rows * layer.output_columns * layer.output_pixel_words;
  const int steps = words * maximum(window, divide);

  std::int32_t totals[INPUTS];
  AXYNQ_REGISTERS(totals)
  undivided_t pending;
  AXYNQ_REGISTERS(pending.totals)
  pending.count = 0;
  pending.address = 0;
  pending.lane = INPUTS;
  // A small window starts late, so that the divider has done the word before when it is complete.
  int idle = maximum(divide - window, 0);
  int row = 0, column = 0, word = 0, i = 0, j = 0, count = 0, address = 0;

POOL:
  for (int step = 0; step < steps + divide; ++step) {
    AXYNQ_PIPELINE
    const bool dividing = pending.lane < INPUTS;
    const std::int8_t quotient =
        dividing ? divided(layer, pending.totals[pending.lane], pending.count) : std::int8_t(0);
    const bool adding = step < steps && idle == 0;
    const bool last = i == layer.kernel_rows - 1 && j == layer.kernel_columns - 1;

    const int y = (tile.first_row + row) * layer.stride_rows - layer.padding_top + i;
    const int x = column * layer.stride_columns - layer.padding_left + j;
    const bool inside = y >= 0 && y < layer.input_rows && x >= 0 && x < layer.input_columns;
    const int from =
        ((y - tile.first_input_row) * layer.input_columns + x) * layer.input_pixel_words + word;
    const bool first = i == 0 && j == 0;
    count = (first ? 0 : count) + (inside ? 1 : 0);

    for (int b = 0; b < INPUTS; ++b) {
      AXYNQ_UNROLL
      if (adding) {
        const std::int32_t nothing = is_maximum ? -128 : 0;
        const std::int32_t before = first ? nothing : totals[b];
        const std::int32_t value = inside ? std::int32_t(input[b][from]) : nothing;
        totals[b] = is_maximum ? maximum(before, value) : before + value;
      }
      const bool complete = divide > 0 ? dividing && pending.lane == b : adding && last;
      const std::int32_t padded =
          layer.opcode == OPCODE_PAD && count == 0 ? layer.destination_zero_point : totals[b];
      if (complete)
        output[b][divide > 0 ? pending.address : address] =
            divide > 0 ? quotient : quantised(padded, 0, layer.clamp_low, layer.clamp_high);
    }
    if (dividing) ++pending.lane;
    if (adding && last && divide > 0) {
      for (int b = 0; b < INPUTS; ++b) {
        AXYNQ_UNROLL
        pending.totals[b] = totals[b];
      }
      pending.count = count;
      pending.address = address;
      pending.lane = 0;
    }

    if (idle > 0) {
      --idle;
    } else if (++j == layer.kernel_columns) {
      j = 0;
      if (++i == layer.kernel_rows) {
        i = 0;
        idle = maximum(divide - window, 0);
        ++address;
        if (++word == layer.output_pixel_words) {
          word = 0;
          if (++column == layer.output_columns) {
            column = 0;
            ++row;
          }
        }
      }
    }
  }
  AXYNQ_COUNT(COUNT_POOL_STEPS, steps + divide);
}

}  // namespace axynq

#endif
