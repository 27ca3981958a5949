// The multiplier array: convolution, depthwise convolution, fully connected layers, and what leaves
// the lanes: requantisation and residual addition.
#ifndef AXYNQ_CONVOLVE_HPP
#define AXYNQ_CONVOLVE_HPP

#include "axynq/bank.hpp"
#include "axynq/requantise.hpp"
#include "axynq/tile.hpp"
#include "axynq/weights.hpp"

namespace axynq {

typedef accumulator_t partial_buffer_t[FILTERS][PARTIAL_SUMS];

// Steps in which the requantisers finish the outputs of all lanes. A group takes at least as many.
const int REQUANTISE_STEPS = FILTERS / REQUANTISERS;

// --- multiplication ------------------------------------------------------------------------------

// Lane LANE and those below it: the sum of the products of its operands. The recursion gives every
// lane its own bank. A convolution's lanes share their operands; other layers' lanes have windows.
template <int LANE>
struct lanes {
  typedef typename lane_bank<LANE>::type bank_t;

  static void multiply(const activation_t shared[INPUTS],
                       const activation_t window[FILTERS][INPUTS], bool windowed,
                       const weight_buffer_t weights, const code_buffer_t codes, int vector,
                       accumulator_t sums[FILTERS]) {
    AXYNQ_INLINE
    accumulator_t sum = 0;
    for (int i = 0; i < INPUTS; ++i) {
      AXYNQ_UNROLL
      const activation_t a = windowed ? window[LANE][i] : shared[i];
      const int code = HAS_CODES ? int(codes[LANE][vector][i]) : 0;
      sum += int(bank_t::product(a, weight_t(weights[LANE][vector][i]), code));
      AXYNQ_COUNT(COUNT_MULTIPLICATIONS, weights[LANE][vector][i] != 0);
    }
    sums[LANE] = sum;
    lanes<LANE - 1>::multiply(shared, window, windowed, weights, codes, vector, sums);
  }
};

template <>
struct lanes<-1> {
  static void multiply(const activation_t *, const activation_t (*)[INPUTS], bool,
                       const weight_buffer_t, const code_buffer_t, int, accumulator_t *) {
    AXYNQ_INLINE
  }
};

// --- where the loop is ---------------------------------------------------------------------------

// The taps of a pass.
struct taps_t {
  int first, count;                     // in the order kernel rows, kernel columns, channel words
  int kernel_row, kernel_column, word;  // of the first
  int words;                            // channel words of a kernel position
  bool first_pass, last_pass;
};

inline taps_t taps_of(const layer_t &layer, int pass) {
  AXYNQ_INLINE
  taps_t taps;
  taps.words = tap_words(layer);
  taps.first = pass * layer.pass_taps;
  taps.count = minimum(layer.pass_taps, tap_count(layer) - taps.first);
  const int position = taps.first / taps.words;
  taps.word = taps.first - position * taps.words;
  taps.kernel_row = position / layer.kernel_columns;
  taps.kernel_column = position - taps.kernel_row * layer.kernel_columns;
  taps.first_pass = pass == 0;
  taps.last_pass = pass == layer.passes - 1;
  return taps;
}

// Windows move down a column: from one output row to the next only the rows that come in are read,
// where the window holds the others.
inline int fresh_taps(const layer_t &layer) {
  AXYNQ_INLINE
  const bool kept = layer.dilation_rows == 1 && layer.stride_rows < layer.kernel_rows &&
                    tap_count(layer) <= INPUTS;
  return kept ? layer.stride_rows * layer.kernel_columns : tap_count(layer);
}

struct position_t {
  int row, column, group;
  int idle;                             // steps to wait before this output's first tap
  int tap;                              // of this output, from the first of the pass
  int kernel_row, kernel_column, word;  // of the tap
  int vector;                           // of weights
  bool first_vector;                    // of this output
};

// An output with few taps starts late, so that the requantisers have finished the one before it
// when it is complete.
inline int idle_steps(int taps) {
  AXYNQ_INLINE
  return maximum(REQUANTISE_STEPS - taps, 0);
}

inline position_t start_of(const layer_t &layer, const taps_t &taps) {
  AXYNQ_INLINE
  position_t at;
  at.row = at.column = at.group = at.tap = at.vector = 0;
  at.idle = idle_steps(layer.opcode == OPCODE_CONVOLUTION ? taps.count : tap_count(layer));
  at.kernel_row = taps.kernel_row;
  at.kernel_column = taps.kernel_column;
  at.word = taps.word;
  at.first_vector = true;
  return at;
}

// Iterations for a tile and pass, without those that finish the last output.
inline int steps_of(const layer_t &layer, const tile_t &tile, const taps_t &taps) {
  AXYNQ_INLINE
  const int columns = layer.block_groups * layer.output_columns;
  if (layer.opcode == OPCODE_CONVOLUTION)
    return columns * tile.rows * maximum(taps.count, REQUANTISE_STEPS);
  return columns * (maximum(tap_count(layer), REQUANTISE_STEPS) +
                    (tile.rows - 1) * maximum(fresh_taps(layer), REQUANTISE_STEPS));
}

// To the next tap, and from the last tap to the next output. Convolutions go through the groups of
// a pixel, then columns, then rows; windowed layers down the rows of a column, then columns, then
// groups.
inline void advance(position_t &at, const layer_t &layer, const tile_t &tile, const taps_t &taps,
                    int fresh) {
  AXYNQ_INLINE
  if (at.idle > 0) {
    --at.idle;
    return;
  }
  if (++at.word == taps.words) {
    at.word = 0;
    if (++at.kernel_column == layer.kernel_columns) {
      at.kernel_column = 0;
      ++at.kernel_row;
    }
  }
  if (++at.tap < taps.count) return;
  at.first_vector = true;
  if (layer.opcode == OPCODE_CONVOLUTION) {
    at.tap = 0;
    at.idle = idle_steps(taps.count);
    at.kernel_row = taps.kernel_row;
    at.kernel_column = taps.kernel_column;
    at.word = taps.word;
    if (++at.group < layer.block_groups) return;
    at.group = 0;
    at.vector = 0;
    if (++at.column < layer.output_columns) return;
    at.column = 0;
    ++at.row;
    return;
  }
  at.vector = at.group * group_vectors(layer);
  at.kernel_column = 0;
  if (++at.row < tile.rows) {
    at.tap = tap_count(layer) - fresh;
    at.idle = idle_steps(fresh);
    at.kernel_row = layer.kernel_rows - fresh / layer.kernel_columns;
    return;
  }
  at.row = 0;
  at.tap = 0;
  at.idle = idle_steps(tap_count(layer));
  at.kernel_row = 0;
  if (++at.column < layer.output_columns) return;
  at.column = 0;
  ++at.group;
  at.vector = at.group * group_vectors(layer);
}

// --- what leaves the lanes -----------------------------------------------------------------------

const int ADD_LEFT_SHIFT = 20;

// The sum of two quantised values: both are widened and brought to one scale, the sum to the
// output's.
inline std::int8_t residual_sum(const layer_t &layer, std::int8_t computed, std::int8_t residual) {
  AXYNQ_INLINE
  const std::int32_t x = (computed - layer.pre_add_zero_point) * (1 << ADD_LEFT_SHIFT);
  const std::int32_t y = (residual - layer.residual_zero_point) * (1 << ADD_LEFT_SHIFT);
  const std::int32_t sum = rescale(x, layer.pre_add_multiplier, layer.pre_add_shift) +
                           rescale(y, layer.residual_multiplier, layer.residual_shift);
  const std::int32_t scaled = rescale(sum, layer.destination_multiplier, layer.destination_shift);
  return quantised(scaled, layer.destination_zero_point, layer.clamp_low, layer.clamp_high);
}

// The sums of a group that the requantisers have yet to finish, a few lanes a step.
struct pending_t {
  accumulator_t sums[FILTERS];
  int group;
  int address;           // first word of the output pixel
  int residual_address;  // first word of the pixel of the residual operand
  int lane;              // the next to requantise; FILTERS: none
};

// The next lanes of a group: requantised, the residual operand added, written.
inline void requantise_step(const layer_t &layer, int first_word, pending_t &pending,
                            const constant_buffer_t constants, const output_buffer_t residual,
                            output_buffer_t output) {
  AXYNQ_INLINE
  int channel[REQUANTISERS], address[REQUANTISERS];
  std::int8_t value[REQUANTISERS];
  AXYNQ_REGISTERS(channel)
  AXYNQ_REGISTERS(address)
  AXYNQ_REGISTERS(value)
  for (int r = 0; r < REQUANTISERS; ++r) {
    AXYNQ_UNROLL
    const int lane = pending.lane + r;
    channel[r] = constants[lane][CONSTANT_CHANNEL][pending.group];
    const bool used = channel[r] >= 0;
    const int word = used ? channel[r] / INPUTS : 0;
    address[r] = pending.address + word - first_word;
    const std::int32_t scaled =
        rescale(pending.sums[lane], constants[lane][CONSTANT_MULTIPLIER][pending.group],
                constants[lane][CONSTANT_SHIFT][pending.group]);
    const std::int8_t computed =
        quantised(scaled, layer.pre_add_zero_point, layer.pre_add_low, layer.pre_add_high);
    const std::int8_t operand = used && layer.has_residual
                                    ? residual[channel[r] % INPUTS][pending.residual_address + word]
                                    : std::int8_t(0);
    value[r] = layer.has_residual ? residual_sum(layer, computed, operand) : computed;
  }
  for (int b = 0; b < INPUTS; ++b) {
    AXYNQ_UNROLL
    bool write = false;
    int word = 0;
    std::int8_t byte = 0;
    for (int r = 0; r < REQUANTISERS; ++r) {
      AXYNQ_UNROLL
      if (channel[r] >= 0 && channel[r] % INPUTS == b) {
        write = true;
        word = address[r];
        byte = value[r];
      }
    }
    if (write) output[b][word] = byte;
  }
  pending.lane += REQUANTISERS;
}

// --- what enters the lanes -----------------------------------------------------------------------

// The channel of each lane's filter in a group, below zero where it has none. A windowed lane sees
// the byte that it writes.
inline void lane_channels(const constant_buffer_t constants, int group, int channel[FILTERS]) {
  AXYNQ_INLINE
  for (int lane = 0; lane < FILTERS; ++lane) {
    AXYNQ_UNROLL
    channel[lane] = constants[lane][CONSTANT_CHANNEL][group];
  }
}

// The activations of a tap, less their zero point: byte b of the tap's word; of a windowed layer,
// byte b of the word that the lane with a filter for it sees. A padded tap is zero and goes through
// the multipliers like any other.
inline void fetch(const layer_t &layer, const fold_t &fold, const tile_t &tile,
                  const position_t &at, bool windowed, const int channel[FILTERS],
                  const input_buffer_t input, activation_t activations[INPUTS]) {
  AXYNQ_INLINE
  const int row = (tile.first_row + at.row) * layer.stride_rows - layer.padding_top +
                  at.kernel_row * layer.fold_rows * layer.dilation_rows;
  const int column = at.column * layer.stride_columns - layer.padding_left +
                     at.kernel_column * layer.fold_columns * layer.dilation_columns;
  const int pixel =
      ((row - tile.first_input_row) * layer.input_columns + column) * layer.input_pixel_words;
  for (int b = 0; b < INPUTS; ++b) {
    AXYNQ_UNROLL
    int word = at.word;
    if (windowed) {
      word = 0;
      for (int lane = 0; lane < FILTERS; ++lane) {
        AXYNQ_UNROLL
        if (channel[lane] >= 0 && channel[lane] % INPUTS == b) word = channel[lane] / INPUTS;
      }
    }
    const int y = row + fold.rows[b], x = column + fold.columns[b];
    const bool inside = y >= 0 && y < layer.input_rows && x >= 0 && x < layer.input_columns;
    const int address = pixel + fold.offsets[b] + word;
    activations[b] =
        inside ? activation_t(input[b][address] - layer.source_zero_point) : activation_t(0);
  }
}

// The newest tap enters each lane's window at its end.
inline void shift(const int channel[FILTERS], const activation_t activations[INPUTS],
                  activation_t window[FILTERS][INPUTS]) {
  AXYNQ_INLINE
  for (int lane = 0; lane < FILTERS; ++lane) {
    AXYNQ_UNROLL
    for (int i = 0; i + 1 < INPUTS; ++i) {
      AXYNQ_UNROLL
      window[lane][i] = window[lane][i + 1];
    }
    window[lane][INPUTS - 1] =
        channel[lane] >= 0 ? activations[channel[lane] % INPUTS] : activation_t(0);
  }
}

// The sums of products of this step are added to those before, modulo 2^32: the bias or an earlier
// pass's sum at an output's first vector. Its last tap leaves a partial sum or, in the last pass,
// what is to be requantised.
inline void accumulate(const layer_t &layer, const taps_t &taps, const position_t &at,
                       bool last_tap, const accumulator_t sums[FILTERS],
                       const constant_buffer_t constants, accumulator_t accumulators[FILTERS],
                       partial_buffer_t partials, pending_t &pending) {
  AXYNQ_INLINE
  const int pixel = at.row * layer.output_columns + at.column;
  const int partial = layer.passes > 1 ? pixel * layer.block_groups + at.group : 0;
  for (int lane = 0; lane < FILTERS; ++lane) {
    AXYNQ_UNROLL
    const accumulator_t start =
        taps.first_pass ? constants[lane][CONSTANT_BIAS][at.group] : partials[lane][partial];
    const accumulator_t before = at.first_vector ? start : accumulators[lane];
    const accumulator_t total = accumulator_t(std::uint32_t(before) + std::uint32_t(sums[lane]));
    accumulators[lane] = total;
    if (last_tap && taps.last_pass) pending.sums[lane] = total;
    if (last_tap && !taps.last_pass) partials[lane][partial] = total;
  }
  if (last_tap && taps.last_pass) {
    pending.group = at.group;
    pending.address = pixel * layer.block_pixel_words;
    pending.residual_address = pixel * layer.output_pixel_words;
    pending.lane = 0;
  }
}

// --- the loop ------------------------------------------------------------------------------------

// One pass over the taps of a tile. Each step the lanes take in one tap; once an output's last tap
// is accumulated, a few of its lanes are requantised per step while the next output is computed.
inline void convolve_tile(const layer_t &layer, const fold_t &fold, int index, int block, int pass,
                          const input_buffer_t input, const output_buffer_t residual,
                          const weight_buffer_t weights, const code_buffer_t codes,
                          const constant_buffer_t constants, partial_buffer_t partials,
                          output_buffer_t output) {
  AXYNQ_NO_INLINE
  const tile_t tile = tile_at(layer, index);
  const taps_t taps = taps_of(layer, pass);
  const bool windowed = layer.opcode != OPCODE_CONVOLUTION;
  const int fresh = fresh_taps(layer);
  const int first_word = block * layer.block_pixel_words;
  const int steps = steps_of(layer, tile, taps);

  accumulator_t accumulators[FILTERS];
  AXYNQ_REGISTERS(accumulators)
  activation_t window[FILTERS][INPUTS];
  AXYNQ_REGISTERS(window)
  for (int lane = 0; lane < FILTERS; ++lane) {
    AXYNQ_UNROLL
    for (int i = 0; i < INPUTS; ++i) {
      AXYNQ_UNROLL
      window[lane][i] = 0;
    }
  }
  pending_t pending;
  AXYNQ_REGISTERS(pending.sums)
  pending.group = 0;
  pending.address = 0;
  pending.residual_address = 0;
  pending.lane = FILTERS;
  position_t at = start_of(layer, taps);

MULTIPLY:
  for (int step = 0; step < steps + REQUANTISE_STEPS; ++step) {
    AXYNQ_PIPELINE
    AXYNQ_PRAGMA(HLS DEPENDENCE variable=partials type=inter false)
    if (pending.lane < FILTERS)
      requantise_step(layer, first_word, pending, constants, residual, output);

    if (step < steps && at.idle == 0) {
      int channel[FILTERS];
      AXYNQ_REGISTERS(channel)
      activation_t activations[INPUTS];
      AXYNQ_REGISTERS(activations)
      lane_channels(constants, at.group, channel);
      fetch(layer, fold, tile, at, windowed, channel, input, activations);
      if (windowed) shift(channel, activations, window);

      const bool last_tap = at.tap == taps.count - 1;
      const bool issue = !windowed || last_tap || (at.tap + 1) % INPUTS == 0;
      if (issue) {
        accumulator_t sums[FILTERS];
        AXYNQ_REGISTERS(sums)
        if (layer.opcode == OPCODE_ADD) {
          for (int lane = 0; lane < FILTERS; ++lane) {
            AXYNQ_UNROLL
            sums[lane] = int(window[lane][INPUTS - 1]);
          }
        } else {
          lanes<FILTERS - 1>::multiply(activations, window, windowed, weights, codes, at.vector,
                                       sums);
        }
        accumulate(layer, taps, at, last_tap, sums, constants, accumulators, partials, pending);
        at.first_vector = false;
        ++at.vector;
      }
    }
    advance(at, layer, tile, taps, fresh);
  }
  AXYNQ_COUNT(COUNT_MULTIPLY_STEPS, steps + REQUANTISE_STEPS);
}

}  // namespace axynq

#endif
