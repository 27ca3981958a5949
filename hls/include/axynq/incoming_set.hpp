// What a phase needs before it begins: its descriptor, then its set of tables, constants, places
// and weights. It comes in a word a step while the phase before it runs.
#ifndef AXYNQ_INCOMING_SET_HPP
#define AXYNQ_INCOMING_SET_HPP

#include "axynq/memories.hpp"

namespace axynq {

enum {
  PART_RECORD,
  PART_TABLES,
  PART_CONSTANTS,
  PART_PLACES,
  PART_WEIGHTS,
};

// Words of a pair of table entries; of the constants of a lane, or lanes of a word; of a group's
// places; of a vector of weights and codes.
const int PAIR_WORDS = WORD_INTEGERS == 1 ? 2 : 1;
const int LANE_WORDS = WORD_INTEGERS >= CONSTANT_INTEGERS ? 1 : CONSTANT_INTEGERS / WORD_INTEGERS;
const int WORD_LANES = WORD_INTEGERS >= CONSTANT_INTEGERS ? WORD_INTEGERS / CONSTANT_INTEGERS : 1;
const int PLACE_WORDS = 3;
const int CODE_LANES = HAS_CODES ? 8 / CODE_BITS : FILTERS;  // lanes whose codes share a word
const int CODE_WORDS = HAS_CODES ? (FILTERS + CODE_LANES - 1) / CODE_LANES : 0;
const int VECTOR_WORDS = FILTERS + CODE_WORDS;

struct incoming_set_t {
  ap_uint<3> part;
  ap_uint<25> left;  // words of the record, then of the set, then none
  bool in_record;
  bool half;         // of the memories with two halves, which it goes to
  bool weight_half;

  // From the descriptor.
  ap_uint<25> set_words;
  bool tables;
  group_t last_group;
  ap_uint<16> vectors;

  // Where it is.
  ap_uint<bits_below(RECORD_WORDS)> word;  // of the record
  ap_uint<bits_below(2 * TABLE_ENTRIES)> entry;  // of a table, in words
  group_t group;
  constant_address_t row;
  ap_uint<bits_below(FILTERS * CONSTANT_INTEGERS)> sub;  // word within a group, or a vector
  vector_t vector;
  ap_uint<32 * CONSTANT_INTEGERS> held;  // integers of a lane that came before

  void none() {
    AXYNQ_INLINE
    left = 0;
    in_record = false;
    part = PART_RECORD;
  }

  void start_record() {
    AXYNQ_INLINE
    part = PART_RECORD;
    left = RECORD_WORDS;
    in_record = true;
    word = 0;
    entry = 0;
    group = 0;
    row = 0;
    sub = 0;
    vector = 0;
    held = 0;
  }

  // The weights of the next pass alone.
  void start_weights(ap_uint<16> count) {
    AXYNQ_INLINE
    part = PART_WEIGHTS;
    left = ap_uint<25>(count * VECTOR_WORDS);
    in_record = false;
    vectors = count;
    sub = 0;
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
  const bool is_record = taken && set.part == PART_RECORD;
  const bool is_table = taken && set.part == PART_TABLES;
  const bool is_constant = taken && set.part == PART_CONSTANTS;
  const bool is_place = taken && set.part == PART_PLACES;
  const bool is_weight = taken && set.part == PART_WEIGHTS;

  // The descriptor: stored, and what the set's layout depends on noted.
  {
    bool enable[RECORD_BANKS];
    AXYNQ_REGISTERS(enable)
    word_t value[RECORD_BANKS];
    AXYNQ_REGISTERS(value)
    for (int bank = 0; bank < RECORD_BANKS; ++bank) {
      AXYNQ_UNROLL
      enable[bank] = is_record && int(set.word) % RECORD_BANKS == bank;
      value[bank] = word;
    }
    write_row(record, enable, record_address_t(int(set.word) / RECORD_BANKS), value);
    for (int k = 0; k < WORD_INTEGERS; ++k) {
      AXYNQ_UNROLL
      const std::int32_t integer = integer_of(word, k);
      if (is_record && set.word == FIELD_TABLES / WORD_INTEGERS && k == FIELD_TABLES % WORD_INTEGERS)
        set.tables = integer != 0;
      if (is_record && set.word == FIELD_GROUPS / WORD_INTEGERS && k == FIELD_GROUPS % WORD_INTEGERS)
        set.last_group = group_t(integer - 1);
      if (is_record && set.word == FIELD_VECTORS / WORD_INTEGERS &&
          k == FIELD_VECTORS % WORD_INTEGERS)
        set.vectors = integer;
      if (is_record && set.word == FIELD_SET_WORDS / WORD_INTEGERS &&
          k == FIELD_SET_WORDS % WORD_INTEGERS)
        set.set_words = integer;
    }
  }

  // Tables: a pair of entries in each word, or in two.
  {
    const bool second = PAIR_WORDS == 2 && (set.entry & 1) == 1;
    const table_address_t address =
        table_address_t((set.half ? TABLE_ENTRIES : 0) + int(set.entry) / PAIR_WORDS);
    bool first_enable[REQUANTISERS], second_enable[REQUANTISERS];
    AXYNQ_REGISTERS(first_enable)
    AXYNQ_REGISTERS(second_enable)
    ap_int<32> first[REQUANTISERS], other[REQUANTISERS];
    AXYNQ_REGISTERS(first)
    AXYNQ_REGISTERS(other)
    for (int r = 0; r < REQUANTISERS; ++r) {
      AXYNQ_UNROLL
      first_enable[r] = is_table && !second;
      second_enable[r] = is_table && (PAIR_WORDS == 1 || second);
      first[r] = integer_of(word, 0);
      other[r] = integer_of(word, PAIR_WORDS == 1 ? 1 % WORD_INTEGERS : 0);
    }
    write_row(computed_table, first_enable, address, first);
    write_row(operand_table, second_enable, address, other);
  }

  // Constants: a lane's integers in a word, or in several, or several lanes in one.
  {
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
          ap_uint<32 * CONSTANT_INTEGERS>(set.held >> (LANE_WORDS > 1 ? 32 * WORD_INTEGERS : 0)) | top;
      if (is_constant) set.held = lane_integers[0];
    }
    bool enable[REQUANTISERS];
    AXYNQ_REGISTERS(enable)
    constant_row_t value[REQUANTISERS];
    AXYNQ_REGISTERS(value)
    for (int r = 0; r < REQUANTISERS; ++r) {
      AXYNQ_UNROLL
      // The word's first lane is sub / LANE_WORDS * WORD_LANES.
      bool here = false;
      for (int step = 0; step < REQUANTISE_STEPS; ++step) {
        AXYNQ_UNROLL
        const int last_word = ((step * REQUANTISERS + r) / WORD_LANES + 1) * LANE_WORDS - 1;
        here = here || int(set.sub) == last_word;
      }
      enable[r] = is_constant && here;
      const ap_uint<32 * CONSTANT_INTEGERS> integers = lane_integers[r % WORD_LANES];
      const ap_uint<32> bias = ap_uint<32>(integers >> (32 * CONSTANT_BIAS));
      const ap_uint<31> multiplier = ap_uint<31>(integers >> (32 * CONSTANT_MULTIPLIER));
      const ap_uint<6> shift = ap_uint<6>(integers >> (32 * CONSTANT_SHIFT));
      value[r] = constant_row_t(constant_row_t(bias) << (31 + 6)) |
                 constant_row_t(constant_row_t(multiplier) << 6) | constant_row_t(shift);
    }
    write_row(constants, enable,
              constant_address_t((set.half ? CONSTANT_ROWS : 0) + int(set.row)), value);
  }

  // Places: two words by bytes, one by lanes.
  {
    const place_address_t address =
        place_address_t((set.half ? GROUPS : 0) + int(set.group));
    bool byte_enable[INPUTS];
    AXYNQ_REGISTERS(byte_enable)
    byte_place_t byte_value[INPUTS];
    AXYNQ_REGISTERS(byte_value)
    for (int b = 0; b < INPUTS; ++b) {
      AXYNQ_UNROLL
      byte_enable[b] = is_place && int(set.sub) == b / (INPUTS / 2);
      const ap_uint<16> place = ap_uint<16>(word >> (16 * (b % (INPUTS / 2))));
      const ap_uint<LANE_BITS> lane = ap_uint<LANE_BITS>(place);
      const ap_uint<1> used = ap_uint<1>(place >> PLACE_LANE_BITS);
      const ap_uint<WORD_BITS> at = ap_uint<WORD_BITS>(place >> (PLACE_LANE_BITS + 1));
      byte_value[b] = byte_place_t(byte_place_t(at) << (1 + LANE_BITS)) |
                      byte_place_t(byte_place_t(lane) << 1) | byte_place_t(used);
    }
    write_row(byte_places, byte_enable, address, byte_value);
    bool lane_enable[FILTERS];
    AXYNQ_REGISTERS(lane_enable)
    lane_place_t lane_value[FILTERS];
    AXYNQ_REGISTERS(lane_value)
    for (int lane = 0; lane < FILTERS; ++lane) {
      AXYNQ_UNROLL
      lane_enable[lane] = is_place && set.sub == PLACE_WORDS - 1;
      const ap_uint<8> place = ap_uint<8>(word >> (8 * lane));
      lane_value[lane] = lane_place_t(lane_place_t(ap_uint<BYTE_BITS>(place)) << 1) |
                         lane_place_t(ap_uint<1>(place >> 7));
    }
    write_row(lane_places, lane_enable, address, lane_value);
  }

  // Weights: a word for each lane, then the codes of several lanes in a word.
  {
    bool enable[FILTERS], code_enable[FILTERS];
    AXYNQ_REGISTERS(enable)
    AXYNQ_REGISTERS(code_enable)
    weight_row::type value[FILTERS];
    AXYNQ_REGISTERS(value)
    code_row::type code_value[FILTERS];
    AXYNQ_REGISTERS(code_value)
    for (int lane = 0; lane < FILTERS; ++lane) {
      AXYNQ_UNROLL
      enable[lane] = is_weight && int(set.sub) == lane;
      value[lane] = weight_row::from(word);
      code_enable[lane] = HAS_CODES && is_weight && int(set.sub) == FILTERS + lane / CODE_LANES;
      code_value[lane] = code_row::from(word_t(word >> (lane % CODE_LANES * INPUTS * CODE_BITS %
                                                        (8 * INPUTS))));
    }
    const ap_uint<bits_below(WEIGHT_VECTORS)> address =
        (set.weight_half ? HALF_VECTORS : 0) + int(set.vector);
    write_row(weights, enable, address, value);
    if (HAS_CODES)
      write_row(codes, code_enable, ap_uint<bits_below(CODE_VECTORS)>(address), code_value);
  }

  // To the next word.
  if (!taken) return;
  const bool ends = set.left == 1;
  if (set.part == PART_RECORD) {
    ++set.word;
    if (ends) set.part = set.tables ? PART_TABLES : PART_CONSTANTS;
    set.left = ends ? set.set_words : ap_uint<25>(set.left - 1);
    if (ends) set.in_record = false;
    return;
  }
  --set.left;
  if (set.part == PART_TABLES) {
    if (set.entry == PAIR_WORDS * TABLE_ENTRIES - 1) set.part = PART_CONSTANTS;
    ++set.entry;
  } else if (set.part == PART_CONSTANTS) {
    bool row_ends = false;
    for (int step = 0; step < REQUANTISE_STEPS; ++step) {
      AXYNQ_UNROLL
      const int last_word =
          ((step + 1) * REQUANTISERS + WORD_LANES - 1) / WORD_LANES * LANE_WORDS - 1;
      row_ends = row_ends || int(set.sub) == last_word;
    }
    if (row_ends) ++set.row;
    const bool group_ends =
        int(set.sub) == (FILTERS + WORD_LANES - 1) / WORD_LANES * LANE_WORDS - 1;
    set.sub = group_ends ? 0 : int(set.sub) + 1;
    if (group_ends) set.part = PART_PLACES;
  } else if (set.part == PART_PLACES) {
    const bool group_ends = set.sub == PLACE_WORDS - 1;
    set.sub = group_ends ? 0 : int(set.sub) + 1;
    if (group_ends) {
      set.part = set.group == set.last_group ? PART_WEIGHTS : PART_CONSTANTS;
      ++set.group;
    }
  } else {
    const bool vector_ends = int(set.sub) == VECTOR_WORDS - 1;
    set.sub = vector_ends ? 0 : int(set.sub) + 1;
    if (vector_ends) ++set.vector;
  }
}

}  // namespace axynq

#endif
