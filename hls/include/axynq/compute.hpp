// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// The process that computes: all runs of a phase.
#ifndef AXYNQ_COMPUTE_HPP
#define AXYNQ_COMPUTE_HPP

#include "axynq/run.hpp"

namespace axynq {

inline ap_uint<12> at_least_a_beat(ap_uint<12> pace) {
  AXYNQ_INLINE
  return pace < BEATS ? ap_uint<12>(BEATS) : pace;
}

inline ap_uint<32> larger(ap_uint<32> a, ap_uint<32> b) {
  AXYNQ_INLINE
  return a < b ? b : a;
}

// A run without computation.
inline run_t idle_run() {
  AXYNQ_INLINE
  run_t run;
  run.steps = run.compute_steps = 0;
  run.copies = 0;
  run.first_pass = run.last_pass = true;
  run.computes = false;
  run.constant_half = run.weight_half = false;
  run.incoming.words = 0;
  run.incoming.copy_words = run.incoming.first_words = 0;
  run.incoming.map = run.incoming.second_map = 0;
  run.incoming.address = run.incoming.second_address = 0;
  run.outgoing.words = 0;
  run.outgoing.copy_words = 0;
  run.outgoing.address = 0;
  run.takes_set = false;
  run.incoming_pace = run.outgoing_pace = run.set_pace = BEATS;
  return run;
}

// The words of a tile that come in, for so many copies.
inline incoming_t incoming_of(const phase_t &phase, const transfers_t &moved, const tile_t &tile,
                              copies_t copies, bool odd) {
  AXYNQ_INLINE
  incoming_t incoming;
  const words_t input =
      moved.source ? words_t(tile.input_rows * phase.input_row_words) : words_t(0);
  const words_t residual =
      moved.residual ? words_t(tile.rows * phase.output_row_words) : words_t(0);
  const address_t input_address =
      address_t(phase.source_base) + (odd ? address_t(phase.source_half) : address_t(0));
  const address_t residual_address =
      address_t(phase.residual_base) + (odd ? address_t(phase.residual_half) : address_t(0));
  incoming.copy_words = input + residual;
  incoming.words = all_words_t(incoming.copy_words * copies);
  incoming.first_words = input;
  incoming.map = input != 0 ? phase.source_map : phase.residual_map;
  incoming.address = input != 0 ? input_address : residual_address;
  incoming.second_map = phase.residual_map;
  incoming.second_address = residual_address;
  return incoming;
}

// Tile by tile: while one is computed, the next comes in and the one before goes out. Meanwhile the
// next phase's descriptor and set come in.
inline void compute(const phase_t &phase, const places_t &places, place_t images, place_t image,
                    bool has_next, place_t next_set_words, bool constant_half,
                    bool first_weight_half, channel_t &program_words, channel_t &input_words,
                    channel_t &output_words, map_memory_t &maps, weight_memory_t &weights,
                    code_memory_t &codes, constant_memory_t &constants,
                    byte_place_memory_t &byte_places, lane_place_memory_t &lane_places,
                    table_memory_t &computed_table, table_memory_t &operand_table,
                    partial_memory_t &partials, record_memory_t &record) {
  AXYNQ_NO_INLINE
  const transfers_t moved = transfers_of(phase, images, image);
  const place_t tiles = places.tiles;
  const bool loads = tiles != 0 && (moved.source || moved.residual);
  bool weight_half = first_weight_half;

  incoming_set_t set;
  set.none();
  set.half = !constant_half;
  set.weight_half = !weight_half;
  set.tables = set.last_group = false;
  set.groups = 0;
  set.start_record(next_set_words);
  if (!has_next) set.none();

  fold_t fold;
  AXYNQ_REGISTERS(fold.rows)
  AXYNQ_REGISTERS(fold.columns)
  AXYNQ_REGISTERS(fold.words)
  AXYNQ_REGISTERS(fold.used)
  fold_of(phase, fold);

  // Run n computes tile n, takes in tile n + 1 and sends tile n - 1 out; n begins at -1 where the
  // first tile comes from memory, and goes on where the last goes there. When nothing is left but
  // the next phase's words, runs are made until they are in.
  tile_cursor now, next;
  now.start(phase);
  next.start(phase);
  bool odd = false;
  place_t tile = 0;
  bool before = loads;
  words_t outgoing_words = 0;  // of a copy
  copies_t outgoing_copies = 0;
  address_t outgoing_address = 0;
  place_t now_image = image, next_image = image;  // that the first copy computes, and takes in
  pass_start start = first_pass(phase);
  ap_uint<12> pass = 0;
  AXYNQ_LOOP(RUNS)
  while (true) {
    const bool computes = !before && tile < tiles;
    const bool drains = !before && !computes && outgoing_words == 0;
    if (drains && !set.comes) break;
    run_t run = idle_run();
    run.constant_half = constant_half;
    run.weight_half = weight_half;
    const bool first = pass == 0, last = pass == phase.passes - 1;
    const bool last_tile = tile == tiles - 1;
    const tile_t there = now.tile(phase);
    const tile_t coming = next.tile(phase);
    const ap_uint<16> taps = last ? phase.last_pass_taps : phase.pass_taps;
    run_shape shape = shape_of(phase, there, start, taps);
    const address_t offset = odd ? address_t(1) : address_t(0);
    // Where each lane has words of its own, they are counted from the block's first.
    const address_t own_word =
        phase.opcode == OPCODE_CONVOLUTION ? address_t(0) : address_t(phase.block_word);
    const position_t begin = first_position(
        phase, there, shape, computes,
        address_t(phase.source_base) + address_t(offset * phase.source_half) + own_word,
        address_t(phase.destination_base) + address_t(offset * phase.destination_half),
        address_t(phase.residual_base) + address_t(offset * phase.residual_half) +
            address_t(phase.block_word));

    if (before || (computes && first && loads && !last_tile))
      run.incoming =
          incoming_of(phase, moved, coming, copies_from(images, next_image), !before && !odd);
    if (computes) {
      run.computes = true;
      run.copies = copies_from(images, now_image);
      run.first_pass = first;
      run.last_pass = last;
      const ap_uint<24> row_steps =
          last && phase.passes > 1 ? phase.last_pass_row_steps : phase.row_steps;
      const ap_uint<24> first_row_steps =
          phase.opcode == OPCODE_DEPTHWISE ? ap_uint<24>(phase.first_row_steps) : row_steps;
      run.compute_steps =
          first_row_steps + ap_uint<32>(row_steps * (there.rows - 1)) + finish_steps(phase);
      run.incoming_pace = at_least_a_beat(phase.incoming_pace);
      run.outgoing_pace = at_least_a_beat(phase.outgoing_pace);
      run.set_pace = at_least_a_beat(phase.set_pace);
      if (first && moved.ahead && tile == 0) {
        run.incoming.copy_words = run.incoming.first_words = phase.ahead_words;
        run.incoming.words =
            all_words_t(run.incoming.copy_words * copies_from(images, image + COPIES));
        run.incoming.map = run.incoming.second_map = phase.ahead_map;
        run.incoming.address = run.incoming.second_address = phase.ahead_base;
      }
    }
    if (!before && (computes ? first : true)) {
      run.outgoing.copy_words = outgoing_words;
      run.outgoing.words = all_words_t(outgoing_words * outgoing_copies);
      run.outgoing.address = outgoing_address;
      outgoing_words = 0;
    }

    // Weights of the next pass come in whole; what the next phase needs as far as there is time.
    const bool more_passes = computes && phase.passes > 1 && !(last && last_tile);
    const bool may_take = phase.passes == 1 || (!before && !computes) || (last && last_tile);
    incoming_set_t taken = set;
    if (more_passes) {
      const bool to_last = pass + 2 == phase.passes;
      taken.start_weights(to_last ? phase.last_pass_vectors : phase.vectors);
    }
    taken.weight_half = !weight_half;
    run.takes_set = more_passes || may_take;
    ap_uint<32> steps = run.compute_steps;
    steps = larger(steps, run.incoming.words * run.incoming_pace);
    steps = larger(steps, run.outgoing.words * run.outgoing_pace);
    if (more_passes || drains) steps = larger(steps, taken.left.left * run.set_pace);
    run.steps = steps;
    multiply_run(phase, run, fold, shape, begin, program_words, input_words, output_words, taken,
                 maps, weights, codes, constants, byte_places, lane_places, computed_table,
                 operand_table, partials, record, start);
    if (!more_passes) set = taken;

    // To the next pass or tile.
    if (before) {
      before = false;
      if (next.last(phase)) next_image += COPIES;
      next.next(phase);
      start = first_pass(phase);
    } else if (computes) {
      if (more_passes) weight_half = !weight_half;
      if (last) {
        pass = 0;
        start = first_pass(phase);
        if (moved.destination) {
          outgoing_words = words_t(there.rows * phase.store_row_words);
          outgoing_copies = run.copies;
          outgoing_address =
              address_t(phase.outgoing_base) + address_t(offset * phase.destination_half);
        }
        if (now.last(phase)) now_image += COPIES;
        if (next.last(phase)) next_image += COPIES;
        now.next(phase);
        next.next(phase);
        odd = !odd;
        ++tile;
      } else {
        ++pass;
      }
    }
  }
  AXYNQ_COUNT(COUNT_PHASES, 1);
}

// The half of the weight memory that the next phase begins with. Each pass takes the other half
// than the one before it.
inline bool weight_half_after(const phase_t &phase, const places_t &places,
                              bool first_weight_half) {
  AXYNQ_INLINE
  const bool odd = (places.tiles & phase.passes & 1) != 0;
  return places.tiles != 0 && phase.passes > 1 ? first_weight_half != odd : !first_weight_half;
}

}  // namespace axynq

#endif
