// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// What a phase needs before it begins: its descriptor, then its set of tables, constants, places
// and weights. It comes in a word a step while the phase before it runs.
#ifndef AXYNQ_INCOMING_SET_HPP
#define AXYNQ_INCOMING_SET_HPP

#include "axynq/memories.hpp"

namespace axynq {

// Words of a pair of table entries; of the constants of a lane, or lanes of a word; of a group's
// places; of a vector of weights and codes.
const int PAIR_WORDS = WORD_INTEGERS == 1 ? 2 : 1;
const int LANE_WORDS = WORD_INTEGERS >= CONSTANT_INTEGERS ? 1 : CONSTANT_INTEGERS / WORD_INTEGERS;
const int WORD_LANES = WORD_INTEGERS >= CONSTANT_INTEGERS ? WORD_INTEGERS / CONSTANT_INTEGERS : 1;
const int PLACE_WORDS = 3 * ROUNDS;
const int CODE_LANES = HAS_CODES ? 8 / CODE_BITS : FILTERS;  // lanes whose codes share a word
const int CODE_WORDS = HAS_CODES ? (FILTERS + CODE_LANES - 1) / CODE_LANES : 0;
const int VECTOR_WORDS = FILTERS + CODE_WORDS;

// Parts come in units: the record and the tables are one, constants and places have one for each
// group, weights for each vector. Words of each.
const int TABLE_WORDS = PAIR_WORDS * TABLE_ENTRIES;
const int CONSTANT_WORDS = FILTERS / WORD_LANES * LANE_WORDS;
const int ROW_WORDS = REQUANTISERS / WORD_LANES * LANE_WORDS;  // of the constants of a step
constexpr int larger_of(int a, int b) { return a > b ? a : b; }
const int LONGEST_UNIT = larger_of(larger_of(RECORD_WORDS, TABLE_WORDS),
                                   larger_of(CONSTANT_WORDS, larger_of(PLACE_WORDS, VECTOR_WORDS)));
typedef ap_uint<bits_below(LONGEST_UNIT)> unit_word_t;

struct incoming_set_t {
  bool in_record, in_tables, in_constants, in_places, in_weights;
  countdown<25> left;  // words of the record and the set
  bool comes;          // whether there are any
  bool half;           // of the memories with two halves, which it goes to
  bool weight_half;

  // From the descriptor, and what follows from it a word later.
  bool tables;
  ap_uint<8> groups;
  bool last_group;

  // Where it is.
  unit_word_t word, last_but_one;  // of its unit
  bool last_word;
  ap_uint<bits_below(ROW_WORDS)> row_word;  // of a row of constants
  constant_address_t row;
  group_t group;
  vector_t vector;
  ap_uint<32 * CONSTANT_INTEGERS> held;  // integers of a lane that came before

  void none() {
    AXYNQ_INLINE
    start_record(0);
    comes = false;
  }

  // A descriptor, and its set of so many words. How many there are is not read from the descriptor:
  // what comes would decide whether more does, and the next word could not come in the next step.
  void start_record(ap_uint<24> set_words) {
    AXYNQ_INLINE
    start(true, ap_uint<25>(RECORD_WORDS + set_words), RECORD_WORDS);
    comes = true;
    row_word = 0;
    row = 0;
    group = 0;
    held = 0;
  }

  // The weights of the next pass alone.
  void start_weights(ap_uint<16> count) {
    AXYNQ_INLINE
    start(false, ap_uint<25>(count * VECTOR_WORDS), VECTOR_WORDS);
    comes = count != 0;
  }

  void start_unit(int words) {
    AXYNQ_INLINE
    word = 0;
    last_but_one = words - 2;
    last_word = words == 1;
  }

 private:
  void start(bool record, ap_uint<25> words, int unit_words) {
    AXYNQ_INLINE
    in_record = record;
    in_tables = in_constants = in_places = false;
    in_weights = !record;
    left.start(words);
    start_unit(unit_words);
    vector = 0;
  }
};

// A word of it goes where it belongs, if `taken`.
inline void take_in(incoming_set_t &set, bool taken, const word_t &word, record_memory_t &record,
                    table_memory_t &computed_table, table_memory_t &operand_table,
                    constant_memory_t &constants, byte_place_memory_t &byte_places,
                    lane_place_memory_t &lane_places, weight_memory_t &weights,
                    code_memory_t &codes) {
  AXYNQ_INLINE
  const incoming_set_t now = set;
  const bool is_record = taken && now.in_record;
  const bool is_table = taken && now.in_tables;
  const bool is_constant = taken && now.in_constants;
  const bool is_place = taken && now.in_places;
  const bool is_weight = taken && now.in_weights;

  // The descriptor: stored, and what the set's layout depends on noted.
  AXYNQ_IF_NEEDED(is_record) {
    write_record_word(record, is_record, int(now.word), word);
    for (int k = 0; k < WORD_INTEGERS; ++k) {
      AXYNQ_UNROLL
      const std::int32_t integer = integer_of(word, k);
      if (is_record && now.word == FIELD_TABLES / WORD_INTEGERS &&
          k == FIELD_TABLES % WORD_INTEGERS)
        set.tables = (integer & 1) != 0;
      if (is_record && now.word == FIELD_GROUPS / WORD_INTEGERS &&
          k == FIELD_GROUPS % WORD_INTEGERS)
        set.groups = integer;
    }
  }

  // Tables: a pair of entries in each word, or in two.
  AXYNQ_IF_NEEDED(is_table) {
    const bool second = PAIR_WORDS == 2 && (now.word & 1) == 1;
    const table_address_t address =
        table_address_t((now.half ? TABLE_ENTRIES : 0) + int(now.word >> (PAIR_WORDS - 1)));
    bool first_enable[TABLE_BANKS], second_enable[TABLE_BANKS];
    AXYNQ_REGISTERS(first_enable)
    AXYNQ_REGISTERS(second_enable)
    ap_int<32> first[TABLE_BANKS], other[TABLE_BANKS];
    AXYNQ_REGISTERS(first)
    AXYNQ_REGISTERS(other)
    for (int a = 0; a < TABLE_BANKS; ++a) {
      AXYNQ_UNROLL
      first_enable[a] = is_table && !second;
      second_enable[a] = is_table && (PAIR_WORDS == 1 || second);
      first[a] = integer_of(word, 0);
      other[a] = integer_of(word, PAIR_WORDS == 1 ? 1 % WORD_INTEGERS : 0);
    }
    write_row(computed_table, first_enable, address, first);
    write_row(operand_table, second_enable, address, other);
  }

  // Constants: a lane's integers in a word, or in several, or several lanes in one.
  AXYNQ_IF_NEEDED(is_constant) {
    ap_uint<32 * CONSTANT_INTEGERS> lane_integers[WORD_LANES];
    AXYNQ_REGISTERS(lane_integers)
    for (int k = 0; k < WORD_LANES; ++k) {
      AXYNQ_UNROLL
      lane_integers[k] = ap_uint<32 * CONSTANT_INTEGERS>(
          ap_uint<8 * INPUTS>(word >> (k * 32 * CONSTANT_INTEGERS % (8 * INPUTS))));
    }
    if (LANE_WORDS > 1) {
      const ap_uint<32 * CONSTANT_INTEGERS> top =
          ap_uint<32 * CONSTANT_INTEGERS>(ap_uint<32 * WORD_INTEGERS>(word))
          << (32 * (CONSTANT_INTEGERS - WORD_INTEGERS) * (LANE_WORDS > 1 ? 1 : 0));
      lane_integers[0] =
          ap_uint<32 * CONSTANT_INTEGERS>(now.held >> (LANE_WORDS > 1 ? 32 * WORD_INTEGERS : 0)) |
          top;
      if (is_constant) set.held = lane_integers[0];
    }
    bool enable[REQUANTISERS];
    AXYNQ_REGISTERS(enable)
    constant_row_t value[REQUANTISERS];
    AXYNQ_REGISTERS(value)
    for (int r = 0; r < REQUANTISERS; ++r) {
      AXYNQ_UNROLL
      enable[r] = is_constant && now.row_word == (r / WORD_LANES + 1) * LANE_WORDS - 1;
      const ap_uint<32 * CONSTANT_INTEGERS> integers = lane_integers[r % WORD_LANES];
      const ap_uint<32> bias = ap_uint<32>(integers >> (32 * CONSTANT_BIAS));
      const ap_uint<31> multiplier = ap_uint<31>(integers >> (32 * CONSTANT_MULTIPLIER));
      const ap_uint<6> shift = ap_uint<6>(integers >> (32 * CONSTANT_SHIFT));
      value[r] = constant_row_t(constant_row_t(bias) << (31 + 6)) |
                 constant_row_t(constant_row_t(multiplier) << 6) | constant_row_t(shift);
    }
    write_row(constants, enable, constant_address_t((now.half ? CONSTANT_ROWS : 0) + int(now.row)),
              value);
  }

  // Places: for each round two words by bytes, then for each one by lanes.
  AXYNQ_IF_NEEDED(is_place) {
    const place_address_t address = place_address_t((now.half ? GROUPS : 0) + int(now.group));
    bool byte_enable[ROUNDS * INPUTS];
    AXYNQ_REGISTERS(byte_enable)
    byte_place_t byte_value[ROUNDS * INPUTS];
    AXYNQ_REGISTERS(byte_value)
    for (int b = 0; b < ROUNDS * INPUTS; ++b) {
      AXYNQ_UNROLL
      byte_enable[b] = is_place && now.word == b / (INPUTS / 2);
      const ap_uint<16> place = ap_uint<16>(word >> (16 * (b % (INPUTS / 2))));
      const ap_uint<LANE_BITS> lane = ap_uint<LANE_BITS>(place);
      const ap_uint<1> used = ap_uint<1>(place >> PLACE_LANE_BITS);
      const ap_uint<WORD_BITS> at = ap_uint<WORD_BITS>(place >> (PLACE_LANE_BITS + 1));
      const ap_uint<REQUANTISER_BITS> requantiser = lane % REQUANTISERS;
      const ap_uint<STEP_BITS> step = lane / REQUANTISERS;
      byte_value[b] = byte_place_t(byte_place_t(at) << (1 + REQUANTISER_BITS + STEP_BITS)) |
                      byte_place_t(byte_place_t(step) << (1 + REQUANTISER_BITS)) |
                      byte_place_t(byte_place_t(requantiser) << 1) | byte_place_t(used);
    }
    write_row(byte_places, byte_enable, address, byte_value);
    bool lane_enable[FILTERS];
    AXYNQ_REGISTERS(lane_enable)
    lane_place_t lane_value[FILTERS];
    AXYNQ_REGISTERS(lane_value)
    for (int lane = 0; lane < FILTERS; ++lane) {
      AXYNQ_UNROLL
      lane_enable[lane] = is_place && now.word == 2 * ROUNDS + lane / INPUTS;
      const ap_uint<8> place = ap_uint<8>(word >> (8 * (lane % INPUTS)));
      lane_value[lane] = lane_place_t(lane_place_t(ap_uint<BYTE_BITS>(place)) << 1) |
                         lane_place_t(ap_uint<1>(place >> 7));
    }
    write_row(lane_places, lane_enable, address, lane_value);
  }

  // Weights: a word for each lane, then the codes of several lanes in a word.
  AXYNQ_IF_NEEDED(is_weight) {
    bool enable[FILTERS], code_enable[FILTERS];
    AXYNQ_REGISTERS(enable)
    AXYNQ_REGISTERS(code_enable)
    weight_row::type value[FILTERS];
    AXYNQ_REGISTERS(value)
    code_row::type code_value[FILTERS];
    AXYNQ_REGISTERS(code_value)
    const weight_row::type row = weight_row::from(word);
    for (int lane = 0; lane < FILTERS; ++lane) {
      AXYNQ_UNROLL
      enable[lane] = is_weight && now.word == lane;
      value[lane] = row;
      code_enable[lane] = HAS_CODES && is_weight && now.word == FILTERS + lane / CODE_LANES;
      AXYNQ_IF_NEEDED(code_enable[lane])
      code_value[lane] =
          code_row::from(word_t(word >> (lane % CODE_LANES * INPUTS * CODE_BITS % (8 * INPUTS))));
    }
    const ap_uint<bits_below(WEIGHT_VECTORS)> address =
        (now.weight_half ? HALF_VECTORS : 0) + int(now.vector);
    write_row(weights, enable, address, value);
    if (HAS_CODES)
      write_row(codes, code_enable, ap_uint<bits_below(CODE_VECTORS)>(address), code_value);
  }

  // To the next word. That a unit ends is known a word ahead. Each choice stands alone, so that
  // none waits for another.
  const bool unit_ends = taken && now.last_word;
  const bool to_tables = now.in_record && now.tables;
  const bool to_weights = now.in_weights || (now.in_places && now.last_group);
  const bool to_constants =
      (now.in_record && !now.tables) || now.in_tables || (now.in_places && !now.last_group);
  const int other_words = to_weights ? VECTOR_WORDS : CONSTANT_WORDS;
  const int set_words = to_tables ? TABLE_WORDS : now.in_constants ? PLACE_WORDS : other_words;
  set.in_record = now.in_record && !unit_ends;
  set.in_tables = unit_ends ? to_tables : now.in_tables;
  set.in_constants = unit_ends ? to_constants : now.in_constants;
  set.in_places = unit_ends ? now.in_constants : now.in_places;
  set.in_weights = unit_ends ? to_weights : now.in_weights;
  const unit_word_t next_word = now.word + (taken ? 1 : 0);
  const bool before_last = taken ? now.word == now.last_but_one : now.last_word;
  set.word = unit_ends ? unit_word_t(0) : next_word;
  set.last_but_one = unit_ends ? unit_word_t(set_words - 2) : now.last_but_one;
  set.last_word = unit_ends ? set_words == 1 : before_last;
  if (taken) set.last_group = now.group + 1 == now.groups;
  set.comes = taken ? !now.left.last : now.comes;
  if (taken) set.left.next(0, false);
  const bool is_row = taken && now.in_constants;
  const bool row_ends = is_row && now.row_word == ROW_WORDS - 1;
  set.row_word = row_ends ? 0 : int(now.row_word) + (is_row ? 1 : 0);
  set.row = now.row + (row_ends ? 1 : 0);
  set.group = now.group + (unit_ends && now.in_places ? 1 : 0);
  set.vector = now.vector + (unit_ends && now.in_weights ? 1 : 0);
}

}  // namespace axynq

#endif
