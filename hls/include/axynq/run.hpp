// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// A run of the multiplication loop: a pass over the taps of a tile, or nothing but words that come
// in and go out.
//
// Each step the lanes take in one tap; once an output's last tap is accumulated, a few of its lanes
// are finished per step while the next output is computed. Meanwhile a word a step may come in for
// the next tile and for the next phase, and one go out of the tile before.
#ifndef AXYNQ_RUN_HPP
#define AXYNQ_RUN_HPP

#include "axynq/channel.hpp"
#include "axynq/finish.hpp"
#include "axynq/fold.hpp"
#include "axynq/incoming_set.hpp"
#include "axynq/lanes.hpp"
#include "axynq/position.hpp"

namespace axynq {

typedef ap_uint<2> map_t;
typedef ap_uint<17> words_t;                  // of a map
typedef ap_uint<17 + COPY_BITS> all_words_t;  // of all copies

// Words that come in for the next tile, for one copy after the other: its input, then its residual
// operand.
struct incoming_t {
  all_words_t words;    // of all copies
  words_t copy_words;   // of one
  words_t first_words;  // of them that belong to the first of two maps
  map_t map, second_map;
  address_t address, second_address;
};

// Words that go out of the tile before, of one copy after the other.
struct outgoing_t {
  all_words_t words;
  words_t copy_words;
  address_t address;
};

// A step in every so many is due, from the first, while words are left. Whether the next step is
// known before it begins.
struct pace_t {
  countdown<12> steps;
  bool due;

  void start(bool any_left) {
    AXYNQ_INLINE
    steps.start(1);
    due = any_left;
  }

  void next(ap_uint<12> pace, bool any_left) {
    AXYNQ_INLINE
    steps.next(pace, pace == 1);
    due = any_left && steps.last;
  }
};

// The largest activation of a window, and what is below all.
typedef ap_int<10> maximum_t;
const int NO_MAXIMUM = -256;

// What a run is to do.
struct run_t {
  ap_uint<32> steps;  // of the loop
  copies_t copies;    // that compute an image
  ap_uint<32> compute_steps;
  bool first_pass, last_pass;
  bool computes;
  bool constant_half, weight_half;  // which half of the memories this phase and pass use
  incoming_t incoming;
  outgoing_t outgoing;
  bool takes_set;
  ap_uint<12> incoming_pace, outgoing_pace, set_pace;
};

// Activations of the byte lanes of a tap, less their zero point; 0 outside the map.
inline void activations_of(const phase_t &phase, const bool inside[INPUTS],
                           const std::int8_t bytes[INPUTS], activation_t activations[INPUTS]) {
  AXYNQ_INLINE
  for (int b = 0; b < INPUTS; ++b) {
    AXYNQ_UNROLL
    activations[b] =
        inside[b] ? activation_t(ap_int<8>(bytes[b]) - phase.source_zero_point) : activation_t(0);
  }
}

// The newest activation of the own channel of each lane that can have one.
inline void own_activations(const lane_place_t places[FILTERS],
                            const activation_t activations[INPUTS],
                            activation_t own[WINDOW_LANES]) {
  AXYNQ_INLINE
  for (int lane = 0; lane < WINDOW_LANES; ++lane) {
    AXYNQ_UNROLL
    const activation_t value =
        STRAIGHT ? activations[lane] : activations[byte_of_lane(places[lane])];
    own[lane] = (places[lane] & 1) != 0 ? value : activation_t(0);
  }
}

inline void multiply_run(const phase_t &phase, const run_t &run, const fold_t &fold,
                         const run_shape &shape, const position_t &first, channel_t &program_words,
                         channel_t &input_words, channel_t &output_words, incoming_set_t &next_set,
                         map_memory_t &maps, weight_memory_t &weights, code_memory_t &codes,
                         constant_memory_t &constants, byte_place_memory_t &byte_places,
                         lane_place_memory_t &lane_places, table_memory_t &computed_table,
                         table_memory_t &operand_table, partial_memory_t &partials,
                         record_memory_t &record, pass_start &behind) {
  AXYNQ_NO_INLINE
  const bool windowed = phase.opcode == OPCODE_DEPTHWISE;
  const bool multiplies = windowed || phase.opcode == OPCODE_CONVOLUTION;
  const bool is_maximum = phase.opcode == OPCODE_MAXIMUM;
  const bool own_words = phase.opcode != OPCODE_CONVOLUTION;
  bool is_source[MAPS], is_destination[MAPS], is_residual[MAPS];
  AXYNQ_REGISTERS(is_source)
  AXYNQ_REGISTERS(is_destination)
  AXYNQ_REGISTERS(is_residual)
  for (int m = 0; m < MAPS; ++m) {
    AXYNQ_UNROLL
    is_source[m] = phase.source_map == m;
    is_destination[m] = phase.destination_map == m;
    is_residual[m] = phase.residual_map == m;
  }

  accumulator_t accumulators[COPIES * FILTERS];
  AXYNQ_REGISTERS(accumulators)
  for (int lane = 0; lane < COPIES * FILTERS; ++lane) {
    AXYNQ_UNROLL
    accumulators[lane] = 0;
  }
  maximum_t maxima[COPIES * WINDOW_LANES];
  AXYNQ_REGISTERS(maxima)
  activation_t window[COPIES][WINDOW_LANES][WINDOW_TAPS];
  AXYNQ_REGISTERS(window)
  for (int lane = 0; lane < COPIES * WINDOW_LANES; ++lane) {
    AXYNQ_UNROLL
    maxima[lane] = 0;
    for (int i = 0; i < WINDOW_TAPS; ++i) {
      AXYNQ_UNROLL
      window[lane / WINDOW_LANES][lane % WINDOW_LANES][i] = 0;
    }
  }
  pending_t pending;
  AXYNQ_REGISTERS(pending.sums)
  AXYNQ_REGISTERS(pending.byte_places)
  AXYNQ_REGISTERS(pending.lane_places)
  for (int lane = 0; lane < COPIES * FILTERS; ++lane) {
    AXYNQ_UNROLL
    pending.sums[lane] = 0;
  }
  for (int lane = 0; lane < FILTERS; ++lane) {
    AXYNQ_UNROLL
    pending.lane_places[lane] = 0;
  }
  for (int b = 0; b < ROUNDS * INPUTS; ++b) {
    AXYNQ_UNROLL
    pending.byte_places[b] = 0;
  }
  pending.waits = false;
  pending.step = 0;
  pending.part = 0;
  pending.last_part = ADD_PARTS == 1;
  pending.row = 0;
  pending.count = 0;
  pending.output = pending.residual = 0;
  ap_uint<16> count = 0;

  position_t at = first;
  incoming_set_t set = next_set;
  map_t incoming_map = run.incoming.map;
  address_t incoming_address = run.incoming.address;
  copies_t incoming_copy = 0, outgoing_copy = 0;
  countdown<17> incoming_first, incoming_one, outgoing_one;
  countdown<17 + COPY_BITS> incoming_left, outgoing_left;
  incoming_first.start(run.incoming.first_words);
  incoming_one.start(run.incoming.copy_words);
  incoming_left.start(run.incoming.words);
  bool comes = run.incoming.words != 0;
  const bool single_first = run.incoming.first_words == 1;
  const bool single_incoming = run.incoming.copy_words == 1;
  address_t outgoing_address = run.outgoing.address;
  outgoing_one.start(run.outgoing.copy_words);
  outgoing_left.start(run.outgoing.words);
  bool goes = run.outgoing.words != 0;
  const bool single_outgoing = run.outgoing.copy_words == 1;
  pace_t incoming_pace, outgoing_pace, set_pace;
  incoming_pace.start(comes);
  outgoing_pace.start(goes);
  set_pace.start(run.takes_set && set.comes);

  AXYNQ_RUN_BEGINS
  AXYNQ_LOOP(MULTIPLY)
  for (ap_uint<32> step = 0; step < run.steps; ++step) {
    AXYNQ_PIPELINE
    AXYNQ_INDEPENDENT(maps)
    AXYNQ_INDEPENDENT(weights)
    AXYNQ_INDEPENDENT(codes)
    AXYNQ_INDEPENDENT(constants)
    AXYNQ_INDEPENDENT(byte_places)
    AXYNQ_INDEPENDENT(lane_places)
    AXYNQ_INDEPENDENT(computed_table)
    AXYNQ_INDEPENDENT(operand_table)
    AXYNQ_INDEPENDENT(partials)

    // The next phase's words.
    const bool takes = set_pace.due;
    word_t set_word = 0;
    if (takes) set_word = program_words.read();

    // Where this step's tap lies.
    const bool busy = at.busy;
    const place_address_t place_address = (run.constant_half ? GROUPS : 0) + int(at.group);
    byte_place_t byte_place[ROUNDS * INPUTS];
    AXYNQ_REGISTERS(byte_place)
    lane_place_t lane_place[FILTERS];
    AXYNQ_REGISTERS(lane_place)
    read_row(byte_places, busy, place_address, byte_place);
    read_row(lane_places, busy, place_address, lane_place);

    // Each map memory plays one part: it is read for the taps, for the residual operand, or for
    // what goes out. All copies read the same places.
    const bool finishing = pending.waits;
    const bool takes_out = outgoing_pace.due;
    byte_place_t finished_place[INPUTS];
    AXYNQ_REGISTERS(finished_place)
    const int round_step = pending.round(finished_place);
    bool inside[INPUTS];
    AXYNQ_REGISTERS(inside)
    bool reads[MAP_BANKS];
    AXYNQ_REGISTERS(reads)
    address_t read_address[MAP_BANKS];
    AXYNQ_REGISTERS(read_address)
    const reach_t columns = reach_of(at.tap.x, phase.input_columns);
    const reach_t rows = reach_of(at.tap.y, phase.input_rows);
    for (int b = 0; b < INPUTS; ++b) {
      AXYNQ_UNROLL
      inside[b] = fold.used[b] && reaches(columns, fold.columns[b]) && reaches(rows, fold.rows[b]);
      const address_t own = word_of(byte_place[b]);
      const address_t tap_address = at.tap.address + (own_words ? own : fold.words[b]);
      const address_t residual_address = pending.residual + word_of(finished_place[b]);
      for (int m = 0; m < MAPS; ++m) {
        AXYNQ_UNROLL
        const address_t address = is_source[m]        ? tap_address
                                  : is_destination[m] ? outgoing_address
                                                      : residual_address;
        const bool used_here =
            is_source[m]        ? busy && inside[b] && (!own_words || used(byte_place[b]))
            : is_destination[m] ? takes_out
                                : finishing && phase.has_residual && used(finished_place[b]);
        for (int copy = 0; copy < COPIES; ++copy) {
          AXYNQ_UNROLL
          read_address[(copy * MAPS + m) * INPUTS + b] = address;
          reads[(copy * MAPS + m) * INPUTS + b] = used_here;
        }
      }
    }
    std::int8_t map_bytes[MAP_BANKS];
    AXYNQ_REGISTERS(map_bytes)
    read_banks(maps, reads, read_address, map_bytes);
    std::int8_t tap_bytes[COPIES][INPUTS], operands[COPIES * INPUTS];
    AXYNQ_REGISTERS(tap_bytes)
    AXYNQ_REGISTERS(operands)
    word_t out_word = 0;
    for (int b = INPUTS - 1; b >= 0; --b) {
      AXYNQ_UNROLL
      std::int8_t out_byte = 0;
      for (int copy = 0; copy < COPIES; ++copy) {
        AXYNQ_UNROLL
        const int first = copy * MAPS * INPUTS + b;
        std::int8_t tap_byte = map_bytes[first], operand = map_bytes[first];
        std::int8_t own_out = map_bytes[first];
        for (int m = 1; m < MAPS; ++m) {
          AXYNQ_UNROLL
          if (is_source[m]) tap_byte = map_bytes[first + m * INPUTS];
          if (is_residual[m]) operand = map_bytes[first + m * INPUTS];
          if (is_destination[m]) own_out = map_bytes[first + m * INPUTS];
        }
        tap_bytes[copy][b] = tap_byte;
        operands[copy * INPUTS + b] = operand;
        if (copy == 0 || outgoing_copy == copy) out_byte = own_out;
      }
      AXYNQ_IF_NEEDED(takes_out)
      out_word = word_t(out_word << 8) | word_t(std::uint8_t(out_byte));
    }

    // What goes out.
    if (takes_out) {
      output_words.write(out_word);
      const bool copy_ends = COPIES > 1 && outgoing_one.last;
      outgoing_address = copy_ends ? run.outgoing.address : address_t(outgoing_address + 1);
      if (copy_ends) ++outgoing_copy;
      outgoing_one.next(run.outgoing.copy_words, single_outgoing);
      goes = !outgoing_left.last;
      outgoing_left.next(0, false);
    }
    outgoing_pace.next(run.outgoing_pace, goes);

    // The outputs that are being finished.
    constant_row_t constant_row[REQUANTISERS];
    AXYNQ_REGISTERS(constant_row)
    read_row(constants, finishing, pending.row, constant_row);
    std::int8_t finished[COPIES * REQUANTISERS];
    AXYNQ_REGISTERS(finished)
    AXYNQ_IF_NEEDED(finishing)
    finish_step(phase, pending, constant_row, operands, run.constant_half, computed_table,
                operand_table, finished);

    // What comes in, and what is finished.
    const bool takes_in = incoming_pace.due;
    word_t in_word = 0;
    if (takes_in) in_word = input_words.read();
    bool writes[MAP_BANKS];
    AXYNQ_REGISTERS(writes)
    address_t write_address[MAP_BANKS];
    AXYNQ_REGISTERS(write_address)
    std::int8_t write_byte[MAP_BANKS];
    AXYNQ_REGISTERS(write_byte)
    for (int b = 0; b < INPUTS; ++b) {
      AXYNQ_UNROLL
      const byte_place_t place = finished_place[b];
      const ap_uint<REQUANTISER_BITS> requantiser =
          STRAIGHT ? ap_uint<REQUANTISER_BITS>(b % REQUANTISERS) : requantiser_of(place);
      const ap_uint<STEP_BITS> step_taken =
          STRAIGHT ? ap_uint<STEP_BITS>(round_step + b / REQUANTISERS) : step_of(place);
      const bool written = finishing && used(place) && step_taken == pending.step &&
                           (!phase.has_residual || is_of_part(requantiser, pending.part));
      for (int copy = 0; copy < COPIES; ++copy) {
        AXYNQ_UNROLL
        const int first = copy * REQUANTISERS;
        const std::int8_t value =
            STRAIGHT ? finished[first + b % REQUANTISERS] : finished[first + int(requantiser)];
        const bool comes_here = takes_in && (COPIES == 1 || incoming_copy == copy);
        for (int m = 0; m < MAPS; ++m) {
          AXYNQ_UNROLL
          const int bank = (copy * MAPS + m) * INPUTS + b;
          writes[bank] = is_destination[m] ? written : comes_here && incoming_map == m;
          write_address[bank] =
              is_destination[m] ? address_t(pending.output + word_of(place)) : incoming_address;
          AXYNQ_IF_NEEDED(writes[bank])
          write_byte[bank] = is_destination[m] ? value : byte_of(in_word, b);
        }
      }
    }
    write_banks(maps, writes, write_address, write_byte);
    if (takes_in) {
      const bool first_ends = incoming_first.last;
      const bool copy_ends = COPIES > 1 && incoming_one.last;
      incoming_address = copy_ends    ? run.incoming.address
                         : first_ends ? run.incoming.second_address
                                      : address_t(incoming_address + 1);
      if (first_ends) incoming_map = run.incoming.second_map;
      if (copy_ends) incoming_map = run.incoming.map;
      if (copy_ends) ++incoming_copy;
      incoming_first.last = copy_ends ? single_first : incoming_first.left == 2;
      incoming_first.left =
          copy_ends ? words_t(run.incoming.first_words) : words_t(incoming_first.left - 1);
      incoming_one.next(run.incoming.copy_words, single_incoming);
      comes = !incoming_left.last;
      incoming_left.next(0, false);
    }
    incoming_pace.next(run.incoming_pace, comes);
    const bool more_parts = phase.has_residual && !pending.last_part;
    const bool step_ends = finishing && !more_parts;

    // Multiplication.
    const bool last_tap = at.taps.last;
    const bool issues = busy && (!windowed || last_tap || at.window_tap == WINDOW_TAPS - 1);
    const ap_uint<bits_below(WEIGHT_VECTORS)> vector =
        (run.weight_half ? HALF_VECTORS : 0) + int(at.vector);
    weight_row::type weight[FILTERS];
    AXYNQ_REGISTERS(weight)
    code_row::type code[FILTERS];
    AXYNQ_REGISTERS(code)
    read_row(weights, issues && multiplies, vector, weight);
    read_row(codes, issues && multiplies && HAS_CODES, ap_uint<bits_below(CODE_VECTORS)>(vector),
             code);
    ap_int<32> partial[COPIES * FILTERS];
    AXYNQ_REGISTERS(partial)
    read_row(partials, issues && !run.first_pass && at.first_vector, at.partial, partial);
    bool keeps[COPIES * FILTERS];
    AXYNQ_REGISTERS(keeps)
    ap_int<32> kept[COPIES * FILTERS];
    AXYNQ_REGISTERS(kept)
    const bool ends = issues && last_tap;
    const bool tap_inside = inside[0];
    const bool restarts = at.first_vector || is_maximum;
    count = ap_uint<16>((at.first_tap ? ap_uint<16>(0) : count) + (tap_inside ? 1 : 0));
    for (int copy = 0; copy < COPIES; ++copy) {
      AXYNQ_UNROLL
      activation_t activations[INPUTS];
      AXYNQ_REGISTERS(activations)
      activations_of(phase, inside, tap_bytes[copy], activations);
      activation_t own[WINDOW_LANES];
      AXYNQ_REGISTERS(own)
      AXYNQ_IF_NEEDED(busy && own_words)
      own_activations(lane_place, activations, own);
      // The lanes see windows with their newest tap, kept or not: a choice between the two is
      // spared.
      activation_t moved[WINDOW_LANES][WINDOW_TAPS];
      AXYNQ_REGISTERS(moved)
      for (int lane = 0; lane < WINDOW_LANES; ++lane) {
        AXYNQ_UNROLL
        for (int i = 0; i + 1 < WINDOW_TAPS; ++i) {
          AXYNQ_UNROLL
          moved[lane][i] = window[copy][lane][i + 1];
        }
        moved[lane][WINDOW_TAPS - 1] = own[lane];
      }
      if (busy && windowed) {
        for (int lane = 0; lane < WINDOW_LANES; ++lane) {
          AXYNQ_UNROLL
          for (int i = 0; i < WINDOW_TAPS; ++i) {
            AXYNQ_UNROLL
            window[copy][lane][i] = moved[lane][i];
          }
        }
      }
      accumulator_t sums[FILTERS];
      AXYNQ_REGISTERS(sums)
      AXYNQ_IF_NEEDED(issues && multiplies && run.copies > copy)
      lanes<FILTERS - 1>::multiply(activations, moved, windowed, weight, code, sums);

      for (int lane = 0; lane < FILTERS; ++lane) {
        AXYNQ_UNROLL
        const int place = copy * FILTERS + lane;
        sum_t part = sums[lane];
        if (lane < WINDOW_LANES) {
          const int own_lane = lane < WINDOW_LANES ? lane : 0;
          const int own_place = copy * WINDOW_LANES + own_lane;
          // A maximum is kept apart, and added to nothing.
          const maximum_t maximum = at.first_tap ? maximum_t(NO_MAXIMUM) : maxima[own_place];
          const bool larger = tap_inside && own[own_lane] > maximum;
          const maximum_t larger_one = larger ? maximum_t(own[own_lane]) : maximum;
          if (issues) maxima[own_place] = larger_one;
          const maximum_t own_part = is_maximum ? larger_one : maximum_t(own[own_lane]);
          part = multiplies ? sum_t(sums[lane]) : sum_t(own_part);
        }
        const accumulator_t start = run.first_pass ? 0 : accumulator_t(int(partial[place]));
        const accumulator_t before = restarts ? start : accumulators[place];
        const accumulator_t total = accumulator_t(std::uint32_t(before) + std::uint32_t(int(part)));
        if (issues) accumulators[place] = total;
        if (ends && run.last_pass) pending.sums[place] = total;
        keeps[place] = ends && !run.last_pass;
        kept[place] = total;
      }
    }
    write_row(partials, keeps, at.partial, kept);
    const bool follows = ends && run.last_pass;
    const bool all_finished = step_ends && pending.step == REQUANTISE_STEPS - 1;
    const constant_address_t first_row =
        (run.constant_half ? CONSTANT_ROWS : 0) + int(at.group) * REQUANTISE_STEPS;
    pending.waits = follows || (finishing && !all_finished);
    pending.row = follows     ? first_row
                  : step_ends ? constant_address_t(pending.row + 1)
                              : pending.row;
    const bool first_part = follows || step_ends;
    const bool before_last = pending.part == ADD_PARTS - 2;
    pending.last_part = first_part ? ADD_PARTS == 1 : finishing ? before_last : pending.last_part;
    const ap_uint<PART_BITS> next_part = pending.part + (finishing ? 1 : 0);
    pending.part = first_part ? ap_uint<PART_BITS>(0) : next_part;
    pending.step = follows     ? ap_uint<STEP_BITS>(0)
                   : step_ends ? ap_uint<STEP_BITS>(pending.step + 1)
                               : pending.step;
    if (follows) {
      for (int lane = 0; lane < FILTERS; ++lane) {
        AXYNQ_UNROLL
        pending.lane_places[lane] = lane_place[lane];
      }
      for (int b = 0; b < ROUNDS * INPUTS; ++b) {
        AXYNQ_UNROLL
        pending.byte_places[b] = byte_place[b];
      }
      pending.count = count;
      pending.output = at.output;
      pending.residual = at.residual;
    }
    advance(at, phase, shape, issues);

    AXYNQ_IF_NEEDED(takes)
    take_in(set, takes, set_word, record, computed_table, operand_table, constants, byte_places,
            lane_places, weights, codes);
    set_pace.next(run.set_pace, run.takes_set && set.comes);
  }
  next_set = set;
  behind = start_behind(at, shape.start);
  AXYNQ_COUNT(COUNT_RUNS, 1);
  AXYNQ_COUNT(COUNT_STEPS, run.steps);
  AXYNQ_COUNT(COUNT_MULTIPLY_STEPS, run.compute_steps);
}

}  // namespace axynq

#endif
