// The multiplier array: convolution, depthwise convolution and fully connected layers.
#ifndef AXYNQ_CONVOLVE_HPP
#define AXYNQ_CONVOLVE_HPP

#include "axynq/bank.hpp"
#include "axynq/requantise.hpp"
#include "axynq/tile.hpp"
#include "axynq/weights.hpp"

namespace axynq {

// Lane LANE and those below it: each adds the products of its weights to its accumulator. The
// recursion gives every lane its own bank.
template <int LANE>
struct lanes {
  typedef typename lane_bank<LANE>::type bank_t;

  static void multiply(const activation_t shared[INPUTS], const activation_t own[FILTERS],
                       bool depthwise, const weight_buffer_t weights, const code_buffer_t codes,
                       int vector, accumulator_t sums[FILTERS]) {
    AXYNQ_INLINE
    accumulator_t sum = 0;
    for (int i = 0; i < INPUTS; ++i) {
      AXYNQ_UNROLL
      // Depthwise: a lane's first multiplier sees its own channel, the others skip.
      const activation_t a = (i == 0 && depthwise) ? own[LANE] : shared[i];
      sum += int(bank_t::product(a, weight_t(weights[LANE][vector][i]), int(codes[LANE][vector][i])));
    }
    sums[LANE] = sum;
    lanes<LANE - 1>::multiply(shared, own, depthwise, weights, codes, vector, sums);
  }
};

template <>
struct lanes<-1> {
  static void multiply(const activation_t *, const activation_t *, bool, const weight_buffer_t,
                       const code_buffer_t, int, accumulator_t *) {
    AXYNQ_INLINE
  }
};

// Where the multiplication loop is. The last index runs fastest.
struct tap_position_t {
  int row, column, group, kernel_row, kernel_column, word;
  int vector;  // group * taps + tap

  bool first_tap() const { return kernel_row == 0 && kernel_column == 0 && word == 0; }

  void advance(const layer_t &layer, int words) {
    AXYNQ_INLINE
    ++vector;
    if (++word < words) return;
    word = 0;
    if (++kernel_column < layer.kernel_columns) return;
    kernel_column = 0;
    if (++kernel_row < layer.kernel_rows) return;
    kernel_row = 0;
    if (++group < layer.block_groups) return;
    group = 0;
    vector = 0;
    if (++column < layer.output_columns) return;
    column = 0;
    ++row;
  }
};

// Each group of filters computes one output pixel in taps() steps, one step a cycle.
inline void convolve_tile(const layer_t &layer, int index, int block, const input_buffer_t input,
                          const weight_buffer_t weights, const code_buffer_t codes,
                          const constant_buffer_t constants, output_buffer_t output) {
  AXYNQ_NO_INLINE
  const tile_t tile = tile_at(layer, index);
  const bool depthwise = layer.opcode == OPCODE_DEPTHWISE;
  const int words = depthwise ? 1 : layer.input_pixel_words;
  const int first_word = block * layer.block_pixel_words;
  const int steps = tile.rows * layer.output_columns * layer.block_groups * layer.taps();
  accumulator_t accumulators[FILTERS];
  AXYNQ_REGISTERS(accumulators)
  tap_position_t at = {0, 0, 0, 0, 0, 0, 0};

MULTIPLY:
  for (int step = 0; step < steps; ++step) {
    AXYNQ_PIPELINE
    const int row = (tile.first_row + at.row) * layer.stride_rows - layer.padding_top +
                    at.kernel_row * layer.dilation_rows;
    const int column = at.column * layer.stride_columns - layer.padding_left +
                       at.kernel_column * layer.dilation_columns;
    const bool inside =
        row >= 0 && row < layer.input_rows && column >= 0 && column < layer.input_columns;
    const int pixel =
        ((row - tile.first_input_row) * layer.input_columns + column) * layer.input_pixel_words;

    // Which byte of which word each lane's filter is: its place in the output, and, depthwise, in
    // the input too.
    int channel[FILTERS];
    AXYNQ_REGISTERS(channel)
    for (int lane = 0; lane < FILTERS; ++lane) {
      AXYNQ_UNROLL
      channel[lane] = constants[lane][CONSTANT_CHANNEL][at.group];
    }

    // A padded tap is zero and goes through the multipliers like any other.
    activation_t shared[INPUTS];
    AXYNQ_REGISTERS(shared)
    for (int b = 0; b < INPUTS; ++b) {
      AXYNQ_UNROLL
      int word = at.word;
      if (depthwise) {
        word = 0;
        for (int lane = 0; lane < FILTERS; ++lane) {
          AXYNQ_UNROLL
          if (channel[lane] >= 0 && channel[lane] % INPUTS == b) word = channel[lane] / INPUTS;
        }
      }
      shared[b] = inside ? activation_t(input[b][pixel + word] - layer.source_zero_point)
                         : activation_t(0);
    }
    activation_t own[FILTERS];
    AXYNQ_REGISTERS(own)
    for (int lane = 0; lane < FILTERS; ++lane) {
      AXYNQ_UNROLL
      own[lane] = channel[lane] >= 0 ? shared[channel[lane] % INPUTS] : activation_t(0);
    }

    accumulator_t sums[FILTERS];
    AXYNQ_REGISTERS(sums)
    lanes<FILTERS - 1>::multiply(shared, own, depthwise, weights, codes, at.vector, sums);
    const bool first = at.first_tap();
    for (int lane = 0; lane < FILTERS; ++lane) {
      AXYNQ_UNROLL
      const accumulator_t before =
          first ? constants[lane][CONSTANT_BIAS][at.group] : accumulators[lane];
      accumulators[lane] = before + sums[lane];
    }

    const bool last = at.word == words - 1 && at.kernel_column == layer.kernel_columns - 1 &&
                      at.kernel_row == layer.kernel_rows - 1;
    if (last) {
      std::int8_t result[FILTERS];
      AXYNQ_REGISTERS(result)
      for (int lane = 0; lane < FILTERS; ++lane) {
        AXYNQ_UNROLL
        const std::int32_t scaled =
            rescale(accumulators[lane], constants[lane][CONSTANT_MULTIPLIER][at.group],
                    constants[lane][CONSTANT_SHIFT][at.group]);
        result[lane] =
            clamp(scaled + layer.destination_zero_point, layer.clamp_low, layer.clamp_high);
      }
      const int place = (at.row * layer.output_columns + at.column) * layer.block_pixel_words;
      for (int b = 0; b < INPUTS; ++b) {
        AXYNQ_UNROLL
        bool write = false;
        int address = 0;
        std::int8_t value = 0;
        for (int lane = 0; lane < FILTERS; ++lane) {
          AXYNQ_UNROLL
          if (channel[lane] >= 0 && channel[lane] % INPUTS == b) {
            write = true;
            address = place + channel[lane] / INPUTS - first_word;
            value = result[lane];
          }
        }
        if (write) output[b][address] = value;
      }
    }
    at.advance(layer, words);
  }
  AXYNQ_COUNT(COUNT_MULTIPLY_STEPS, steps);
}

}  // namespace axynq

#endif
