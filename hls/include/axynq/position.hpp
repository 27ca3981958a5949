// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Where the multiplication loop is: which tap of which window is read, which output it belongs to.
//
// Nothing is multiplied or divided here: addresses and coordinates move by steps of the descriptor.
#ifndef AXYNQ_POSITION_HPP
#define AXYNQ_POSITION_HPP

#include "axynq/memories.hpp"
#include "axynq/tile.hpp"

namespace axynq {

// Coordinates in the input: above and left of it, below zero.
typedef ap_int<16> coordinate_t;
typedef ap_uint<bits_below(LONGEST_FINISH + 1)> idle_t;
typedef ap_uint<bits_below(WINDOW_TAPS)> window_tap_t;

// A tap: where its word is, and where its kernel position and kernel row begin.
struct tap_place {
  address_t row_address, column_address, address;
  coordinate_t x, y;
};

inline tap_place moved(const tap_place &from, address_t words, coordinate_t columns,
                       coordinate_t rows) {
  AXYNQ_INLINE
  tap_place to;
  to.row_address = from.row_address + words;
  to.column_address = from.column_address + words;
  to.address = from.address + words;
  to.x = from.x + columns;
  to.y = from.y + rows;
  return to;
}

// The first tap of a pass, and how far it is into its kernel row and position.
struct pass_start {
  address_t row_words, column_words, words;  // from the window's first word
  coordinate_t x, y;
  ap_uint<12> columns_left, words_left;
};

inline pass_start first_pass(const phase_t &phase) {
  AXYNQ_INLINE
  pass_start start;
  start.row_words = start.column_words = start.words = 0;
  start.x = start.y = 0;
  start.columns_left = phase.kernel_columns;
  start.words_left = phase.tap_words;
  return start;
}

// Outputs are gone through in three nested loops. Convolutions, sums and pools: groups of a pixel,
// columns, rows. Depthwise layers: down the rows of a column, so that windows move by whole rows;
// columns; groups.
struct position_t {
  bool busy;    // whether a tap is read in this step
  idle_t idle;  // where not: steps to wait before this output's first tap; 0 behind the last output
  tap_place tap;                   // now
  tap_place inner, middle, outer;  // the first tap of this output, and where the loops began
  countdown<12> word, column;      // of the tap
  countdown<16> taps;              // of this output, in the pass
  countdown<16> inner_left, outer_left;
  countdown<12> middle_left;
  bool first_tap;           // of this output
  bool first_vector;        // of this output
  bool top_row;             // of a column
  window_tap_t window_tap;  // taps of a window so far, modulo its size

  group_t group;
  vector_t vector, group_vector;  // of weights, and the group's first
  address_t output, output_middle, output_outer;
  address_t residual, residual_middle, residual_outer;
  partial_address_t partial;
};

// What stays the same during a run of the loop.
struct run_shape {
  bool depthwise;
  pass_start start;
  ap_uint<16> taps, fresh_taps;
  bool single_tap, single_fresh;
  idle_t idle, fresh_idle;
  bool waits, fresh_waits;     // whether there are such steps
  ap_uint<12> columns, words;  // of the kernel
  bool single_column, single_word;
  bool starts_at_last_column, starts_at_last_word;  // the pass, in its kernel row and position
  ap_uint<16> inner, outer;
  ap_uint<12> middle;
  bool single_inner, single_middle;
  address_t inner_words, second_inner_words;  // from an output of the inner loop to the next
  coordinate_t inner_rows, second_inner_rows;
  address_t output_inner, output_outer, residual_inner, residual_outer;
  window_tap_t fresh_window_tap;
};

// Steps in which the outputs of a group are finished: a residual operand takes its time.
inline int finish_steps(const phase_t &phase) {
  AXYNQ_INLINE
  return phase.has_residual ? LONGEST_FINISH : REQUANTISE_STEPS;
}

inline idle_t idle_steps(ap_uint<16> taps, int finish) {
  AXYNQ_INLINE
  return taps < finish ? idle_t(finish - int(taps)) : idle_t(0);
}

inline run_shape shape_of(const phase_t &phase, const tile_t &tile, const pass_start &start,
                          ap_uint<16> taps) {
  AXYNQ_NO_INLINE
  run_shape shape;
  shape.depthwise = phase.opcode == OPCODE_DEPTHWISE;
  shape.start = start;
  shape.taps = taps;
  shape.fresh_taps = shape.depthwise ? ap_uint<16>(phase.fresh_taps) : taps;
  shape.single_tap = taps == 1;
  shape.single_fresh = shape.fresh_taps == 1;
  shape.idle = idle_steps(taps, finish_steps(phase));
  shape.fresh_idle = idle_steps(shape.fresh_taps, finish_steps(phase));
  shape.waits = shape.idle != 0;
  shape.fresh_waits = shape.fresh_idle != 0;
  shape.columns = phase.kernel_columns;
  shape.words = phase.tap_words;
  shape.single_column = phase.kernel_columns == 1;
  shape.single_word = phase.tap_words == 1;
  shape.starts_at_last_column = start.columns_left == 1;
  shape.starts_at_last_word = start.words_left == 1;
  shape.inner = shape.depthwise ? ap_uint<16>(tile.rows) : ap_uint<16>(phase.groups);
  shape.middle = phase.output_columns;
  shape.outer = shape.depthwise ? ap_uint<16>(phase.groups) : ap_uint<16>(tile.rows);
  shape.single_inner = shape.inner == 1;
  shape.single_middle = phase.output_columns == 1;
  // A window below the first of its column reads only its last kernel rows.
  const ap_uint<16> kept_rows =
      shape.depthwise ? ap_uint<16>(phase.kernel_rows - phase.fresh_rows) : ap_uint<16>(0);
  shape.inner_words = shape.depthwise ? address_t(phase.stride_row_words) : address_t(0);
  shape.inner_rows = shape.depthwise ? coordinate_t(phase.stride_rows) : coordinate_t(0);
  shape.second_inner_words = shape.inner_words + address_t(kept_rows * phase.kernel_row_words);
  shape.second_inner_rows = shape.inner_rows + coordinate_t(kept_rows * phase.kernel_row_step);
  shape.fresh_window_tap = shape.taps - shape.fresh_taps;
  shape.output_inner = shape.depthwise ? address_t(phase.row_step) : address_t(0);
  shape.output_outer = shape.depthwise ? address_t(0) : address_t(phase.row_step);
  shape.residual_inner = shape.depthwise ? address_t(phase.output_row_words) : address_t(0);
  shape.residual_outer = shape.depthwise ? address_t(0) : address_t(phase.output_row_words);
  return shape;
}

// The first output, if there is one. `source`, `output` and `residual` are the first words of its
// maps on chip.
inline position_t first_position(const phase_t &phase, const tile_t &tile, const run_shape &shape,
                                 bool computes, address_t source, address_t output,
                                 address_t residual) {
  AXYNQ_NO_INLINE
  position_t at;
  const coordinate_t above = tile.top - coordinate_t(tile.first_input_row);
  const address_t origin =
      source + address_t(above * phase.input_row_words) - address_t(phase.padding_left_words);
  at.tap.row_address = origin + shape.start.row_words;
  at.tap.column_address = origin + shape.start.column_words;
  at.tap.address = origin + shape.start.words;
  at.tap.x = shape.start.x - coordinate_t(phase.padding_left);
  at.tap.y = shape.start.y + tile.top;
  at.inner = at.middle = at.outer = at.tap;
  at.word.start(shape.start.words_left);
  at.column.start(shape.start.columns_left);
  at.taps.start(shape.taps);
  at.inner_left.start(shape.inner);
  at.middle_left.start(shape.middle);
  at.outer_left.start(shape.outer);
  at.busy = computes && !shape.waits;
  at.idle = computes ? shape.idle : idle_t(0);
  at.first_tap = at.first_vector = at.top_row = true;
  at.window_tap = 0;
  at.group = 0;
  at.vector = at.group_vector = 0;
  at.output = at.output_middle = at.output_outer = output;
  at.residual = at.residual_middle = at.residual_outer = residual;
  at.partial = 0;
  return at;
}

// One down, if `counts`; behind the last it starts again with `count`.
template <int BITS>
inline void count_down(countdown<BITS> &to, const countdown<BITS> &from, bool counts,
                       ap_uint<BITS> count, bool single) {
  AXYNQ_INLINE
  countdown<BITS> next = from;
  next.next(count, single);
  to.left = counts ? next.left : from.left;
  to.last = counts ? next.last : from.last;
}

// To the next tap, and from an output's last tap to the next output's first. `issued`: a vector of
// weights was used. What decides is known when the step begins, and each register is an addition
// and three choices at most from its last value, so that nothing holds up the clock. Behind the
// last output it stays behind that output's last tap.
inline void advance(position_t &at, const phase_t &phase, const run_shape &shape, bool issued) {
  AXYNQ_INLINE
  const position_t now = at;
  const bool steps = now.busy;
  const bool of_middle = now.inner_left.last && now.middle_left.last;
  const bool of_all = of_middle && now.outer_left.last;
  const bool output_ends = steps && now.taps.last;
  const bool inner_ends = output_ends && now.inner_left.last;
  const bool middle_ends = output_ends && of_middle;
  const bool goes_on = output_ends && !of_all;
  const bool to_middle = goes_on && now.inner_left.last, to_outer = goes_on && of_middle;

  // The next tap of this output, or of the next pass.
  const bool column_ends = steps && now.word.last;
  const bool row_ends = column_ends && now.column.last;
  const bool to_word = steps && !now.word.last;
  const address_t next_row = now.tap.row_address + address_t(phase.kernel_row_words);
  const address_t next_column = now.tap.column_address + address_t(phase.kernel_column_words);
  const address_t next_word = now.tap.address + (to_word ? 1 : 0);
  const coordinate_t next_x = now.tap.x + coordinate_t(phase.kernel_column_step);
  const coordinate_t next_y = now.tap.y + coordinate_t(phase.kernel_row_step);

  // The next output's first tap.
  const tap_place inner =
      moved(now.inner, now.top_row ? shape.second_inner_words : shape.inner_words, 0,
            now.top_row ? shape.second_inner_rows : shape.inner_rows);
  const tap_place middle = moved(now.middle, phase.stride_column_words, phase.stride_columns, 0);
  const tap_place outer =
      moved(now.outer, shape.depthwise ? address_t(0) : address_t(phase.stride_row_words), 0,
            shape.depthwise ? coordinate_t(0) : coordinate_t(phase.stride_rows));
  const tap_place next = to_outer ? outer : to_middle ? middle : inner;

  const address_t next_position = row_ends ? next_row : next_column;
  at.tap.address = goes_on ? next.address : column_ends ? next_position : next_word;
  at.tap.column_address = goes_on       ? next.column_address
                          : column_ends ? next_position
                                        : now.tap.column_address;
  at.tap.row_address = goes_on ? next.row_address : row_ends ? next_row : now.tap.row_address;
  at.tap.y = goes_on ? next.y : row_ends ? next_y : now.tap.y;
  const coordinate_t position_x = row_ends ? coordinate_t(now.inner.x - shape.start.x) : next_x;
  at.tap.x = goes_on ? next.x : column_ends ? position_x : now.tap.x;
  at.inner = goes_on ? next : now.inner;
  at.middle = to_middle ? (to_outer ? outer : middle) : now.middle;
  at.outer = to_outer ? outer : now.outer;

  at.word.left = goes_on       ? shape.start.words_left
                 : column_ends ? shape.words
                 : to_word     ? ap_uint<12>(now.word.left - 1)
                               : ap_uint<12>(now.word.left);
  at.word.last = goes_on       ? shape.starts_at_last_word
                 : column_ends ? shape.single_word
                 : to_word     ? now.word.left == 2
                               : now.word.last;
  const bool next_in_row = column_ends && !now.column.last;
  at.column.left = goes_on       ? shape.start.columns_left
                   : row_ends    ? shape.columns
                   : next_in_row ? ap_uint<12>(now.column.left - 1)
                                 : ap_uint<12>(now.column.left);
  at.column.last = goes_on       ? shape.starts_at_last_column
                   : row_ends    ? shape.single_column
                   : next_in_row ? now.column.left == 2
                                 : now.column.last;

  // Weights: the groups of a pixel follow each other; a depthwise group's are used again and again.
  const bool group_ends = shape.depthwise ? middle_ends : output_ends;
  const bool vectors_restart = shape.depthwise ? output_ends && !of_middle : inner_ends;
  const vector_t next_vector = now.vector + 1;
  const vector_t first_vector = shape.depthwise ? now.group_vector : vector_t(0);
  at.vector = vectors_restart ? first_vector : issued ? next_vector : now.vector;
  at.group_vector = group_ends ? (issued ? next_vector : now.vector) : now.group_vector;
  const bool restarts_groups = group_ends && vectors_restart;
  at.group = restarts_groups ? group_t(0) : group_ends ? group_t(now.group + 1) : now.group;
  at.first_tap = steps ? output_ends : now.first_tap;
  at.first_vector = issued ? output_ends : now.first_vector;
  at.partial = output_ends ? partial_address_t(now.partial + 1) : now.partial;
  const bool fresh = shape.depthwise && !now.inner_left.last;
  const bool window_ends = now.window_tap == WINDOW_TAPS - 1;
  const window_tap_t next_window_tap =
      window_ends ? window_tap_t(0) : window_tap_t(now.window_tap + 1);
  at.window_tap = output_ends ? (fresh ? shape.fresh_window_tap : window_tap_t(0))
                  : steps     ? next_window_tap
                              : now.window_tap;

  const address_t output_inner = now.output + shape.output_inner;
  const address_t output_middle = now.output_middle + address_t(phase.pixel_step);
  const address_t output_outer = now.output_outer + shape.output_outer;
  const address_t next_output = to_outer ? output_outer : to_middle ? output_middle : output_inner;
  at.output = goes_on ? next_output : now.output;
  at.output_middle = to_middle ? (to_outer ? output_outer : output_middle) : now.output_middle;
  at.output_outer = to_outer ? output_outer : now.output_outer;
  const address_t residual_inner = now.residual + shape.residual_inner;
  const address_t residual_middle = now.residual_middle + address_t(phase.output_pixel_words);
  const address_t residual_outer = now.residual_outer + shape.residual_outer;
  const address_t next_residual = to_outer    ? residual_outer
                                  : to_middle ? residual_middle
                                              : residual_inner;
  at.residual = goes_on ? next_residual : now.residual;
  at.residual_middle =
      to_middle ? (to_outer ? residual_outer : residual_middle) : now.residual_middle;
  at.residual_outer = to_outer ? residual_outer : now.residual_outer;

  at.top_row = goes_on ? !fresh : now.top_row;
  const bool waits = fresh ? shape.fresh_waits : shape.waits;
  const bool starts = goes_on && !waits, more_taps = steps && !now.taps.last;
  const bool wakes = !steps && now.idle == 1;
  at.busy = starts || more_taps || wakes;
  const bool counts = !steps && now.idle != 0;
  at.idle = goes_on  ? (fresh ? shape.fresh_idle : shape.idle)
            : counts ? idle_t(now.idle - 1)
                     : now.idle;
  const ap_uint<16> taps = fresh ? shape.fresh_taps : shape.taps;
  const bool single_tap = fresh ? shape.single_fresh : shape.single_tap;
  at.taps.left = goes_on ? taps : steps ? ap_uint<16>(now.taps.left - 1) : now.taps.left;
  at.taps.last = goes_on ? single_tap : steps ? now.taps.left == 2 : now.taps.last;
  count_down(at.inner_left, now.inner_left, goes_on, shape.inner, shape.single_inner);
  count_down(at.middle_left, now.middle_left, to_middle, shape.middle, shape.single_middle);
  count_down(at.outer_left, now.outer_left, to_outer, ap_uint<16>(0), false);
}

// Where the next pass begins, once a pass is through.
inline pass_start start_behind(const position_t &at, const pass_start &start) {
  AXYNQ_INLINE
  pass_start behind;
  behind.row_words = at.tap.row_address - at.inner.row_address + start.row_words;
  behind.column_words = at.tap.column_address - at.inner.column_address + start.column_words;
  behind.words = at.tap.address - at.inner.address + start.words;
  behind.x = at.tap.x - at.inner.x + start.x;
  behind.y = at.tap.y - at.inner.y + start.y;
  behind.words_left = at.word.left;
  behind.columns_left = at.column.left;
  return behind;
}

}  // namespace axynq

#endif
