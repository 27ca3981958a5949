// Where the multiplication loop is: which tap of which window is read, which output it belongs to.
//
// Nothing is multiplied or divided here: addresses and coordinates move by steps of the descriptor.
#ifndef AXYNQ_POSITION_HPP
#define AXYNQ_POSITION_HPP

#include "axynq/memories.hpp"
#include "axynq/tile.hpp"

namespace axynq {

// Coordinates in the input: above and left of it, below zero.
typedef ap_int<18> coordinate_t;
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
  bool first_tap;                          // of this output
  bool first_vector;                       // of this output
  bool top_row;                            // of a column
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

// To the next tap, and from an output's last tap to the next output's first. `issued`: a vector of
// weights was used. What decides is known when the step begins, so that nothing waits for more than
// an addition and a few choices. Behind the last output it stays behind that output's last tap.
inline void advance(position_t &at, const phase_t &phase, const run_shape &shape, bool issued) {
  AXYNQ_INLINE
  if (!at.busy) {
    at.busy = at.idle == 1;
    if (at.idle != 0) --at.idle;
    return;
  }
  const bool output_ends = at.taps.last;
  const bool inner_ends = output_ends && at.inner_left.last;
  const bool middle_ends = inner_ends && at.middle_left.last;
  const bool goes_on = output_ends && !(middle_ends && at.outer_left.last);

  // The next tap of this output, or of the next pass.
  const bool column_ends = at.word.last, row_ends = at.word.last && at.column.last;
  const address_t next_row = at.tap.row_address + address_t(phase.kernel_row_words);
  const address_t next_column = at.tap.column_address + address_t(phase.kernel_column_words);
  const address_t next_word = at.tap.address + 1;
  const coordinate_t next_x = at.tap.x + coordinate_t(phase.kernel_column_step);
  const coordinate_t next_y = at.tap.y + coordinate_t(phase.kernel_row_step);
  tap_place next_tap = at.tap;
  next_tap.address = row_ends ? next_row : column_ends ? next_column : next_word;
  if (column_ends) next_tap.column_address = row_ends ? next_row : next_column;
  if (row_ends) next_tap.row_address = next_row;
  if (row_ends) next_tap.y = next_y;
  if (column_ends) next_tap.x = row_ends ? coordinate_t(at.inner.x - shape.start.x) : next_x;
  countdown<12> next_words = at.word, next_columns = at.column;
  next_words.next(shape.words, shape.single_word);
  if (column_ends) next_columns.next(shape.columns, shape.single_column);

  // Weights: the groups of a pixel follow each other; a depthwise group's are used again and again.
  const bool group_ends = shape.depthwise ? middle_ends : output_ends;
  const bool vectors_restart = shape.depthwise ? output_ends && !middle_ends : inner_ends;
  const vector_t next_vector = issued ? vector_t(at.vector + 1) : at.vector;
  at.vector = !vectors_restart ? next_vector : shape.depthwise ? at.group_vector : vector_t(0);
  if (group_ends) {
    at.group_vector = next_vector;
    at.group = vectors_restart ? group_t(0) : group_t(at.group + 1);
  }
  at.first_tap = output_ends;
  if (issued) at.first_vector = output_ends;
  if (output_ends) ++at.partial;
  const bool fresh = shape.depthwise && !inner_ends;
  const bool window_ends = at.window_tap == WINDOW_TAPS - 1;
  at.window_tap = !output_ends ? (window_ends ? window_tap_t(0) : window_tap_t(at.window_tap + 1))
                  : fresh      ? shape.fresh_window_tap
                               : window_tap_t(0);
  if (!goes_on) {
    at.busy = !output_ends;
    at.tap = next_tap;
    at.word = next_words;
    at.column = next_columns;
    at.taps.next(0, false);
  } else {
    const tap_place next_inner =
        moved(at.inner, at.top_row ? shape.second_inner_words : shape.inner_words, 0,
              at.top_row ? shape.second_inner_rows : shape.inner_rows);
    const tap_place next_middle =
        moved(at.middle, phase.stride_column_words, phase.stride_columns, 0);
    const tap_place next_outer =
        moved(at.outer, shape.depthwise ? address_t(0) : address_t(phase.stride_row_words), 0,
              shape.depthwise ? coordinate_t(0) : coordinate_t(phase.stride_rows));
    const tap_place next_window = middle_ends ? next_outer : next_middle;
    const tap_place next = inner_ends ? next_window : next_inner;
    at.tap = next;
    at.inner = next;
    if (inner_ends) at.middle = next_window;
    if (middle_ends) at.outer = next_outer;

    const address_t output_inner = at.output + shape.output_inner;
    const address_t output_middle = at.output_middle + address_t(phase.pixel_step);
    const address_t output_outer = at.output_outer + shape.output_outer;
    at.output = middle_ends ? output_outer : inner_ends ? output_middle : output_inner;
    if (inner_ends) at.output_middle = middle_ends ? output_outer : output_middle;
    if (middle_ends) at.output_outer = output_outer;
    const address_t residual_inner = at.residual + shape.residual_inner;
    const address_t residual_middle = at.residual_middle + address_t(phase.output_pixel_words);
    const address_t residual_outer = at.residual_outer + shape.residual_outer;
    at.residual = middle_ends ? residual_outer : inner_ends ? residual_middle : residual_inner;
    if (inner_ends) at.residual_middle = middle_ends ? residual_outer : residual_middle;
    if (middle_ends) at.residual_outer = residual_outer;

    at.top_row = !fresh;
    at.busy = fresh ? !shape.fresh_waits : !shape.waits;
    at.idle = fresh ? shape.fresh_idle : shape.idle;
    at.taps.left = fresh ? shape.fresh_taps : shape.taps;
    at.taps.last = fresh ? shape.single_fresh : shape.single_tap;
    at.word.left = shape.start.words_left;
    at.word.last = shape.starts_at_last_word;
    at.column.left = shape.start.columns_left;
    at.column.last = shape.starts_at_last_column;
    if (middle_ends) at.outer_left.next(0, false);
    if (inner_ends) at.middle_left.next(shape.middle, shape.single_middle);
    at.inner_left.next(shape.inner, shape.single_inner);
  }
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
