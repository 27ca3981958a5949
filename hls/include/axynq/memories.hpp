// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// The on-chip memories of a core.
#ifndef AXYNQ_MEMORIES_HPP
#define AXYNQ_MEMORIES_HPP

#include "axynq/banked.hpp"
#include "axynq/memory.hpp"
#include "axynq/numbers.hpp"
#include "axynq/packed.hpp"
#include "axynq/requantise.hpp"
#include "axynq/types.hpp"

namespace axynq {

// Feature maps: byte b of each word of map memory m of a copy lies in bank
// (copy * MAPS + m) * INPUTS + b.
const int MAP_BANKS = COPIES * MAPS * INPUTS;
typedef ap_uint<bits_below(MAP_WORDS)> address_t;
typedef banked<std::int8_t, MAP_BANKS, MAP_WORDS>::type map_memory_t;

// Weights and codes: a bank per lane. Of two halves one is used while the other is filled.
const bool HAS_CODES = STORED_CODE_BITS > 0;
const int CODE_BITS = HAS_CODES ? STORED_CODE_BITS : 1;
typedef packed<8, INPUTS> weight_row;
typedef packed<CODE_BITS, INPUTS> code_row;
// Taps of a depthwise window that a lane multiplies at a time: by its last multipliers.
const int WINDOW_TAPS = INPUTS < MAX_WINDOW_TAPS ? INPUTS : MAX_WINDOW_TAPS;
const int HALF_VECTORS = WEIGHT_VECTORS / 2;
const int CODE_VECTORS = HAS_CODES ? WEIGHT_VECTORS : 2;
typedef ap_uint<bits_below(HALF_VECTORS)> vector_t;
typedef banked<weight_row::type, FILTERS, WEIGHT_VECTORS>::type weight_memory_t;
typedef banked<code_row::type, FILTERS, CODE_VECTORS>::type code_memory_t;

// How often the outputs of a group go through the bytes of a word: lanes INPUTS * n and following
// are those of round n.
const int ROUNDS = (FILTERS + INPUTS - 1) / INPUTS;

// Steps in which the requantisers finish the outputs of all lanes.
const int REQUANTISE_STEPS = FILTERS / REQUANTISERS;
// Adders of a residual operand take the outputs of a step in so many parts.
const int ADD_PARTS = REQUANTISERS / ADDERS;
const int LONGEST_FINISH = REQUANTISE_STEPS * ADD_PARTS;
// Steps of a round, but for the last, which may have fewer.
const int ROUND_STEPS = ROUNDS > 1 ? INPUTS / REQUANTISERS : REQUANTISE_STEPS;

// Constants: a bank per requantiser, a row for each group and step. Two halves.
struct constant_t {
  ap_int<32> bias;
  multiplier_t multiplier;
  shift_t shift;
};
const int CONSTANT_BITS = 32 + 31 + 6;
typedef ap_uint<CONSTANT_BITS> constant_row_t;
const int CONSTANT_ROWS = power_above(GROUPS * REQUANTISE_STEPS);
typedef ap_uint<bits_below(2 * CONSTANT_ROWS)> constant_address_t;
typedef banked<constant_row_t, REQUANTISERS, 2 * CONSTANT_ROWS>::type constant_memory_t;

// Places: which lane's channel lies on a byte in each round, told by the requantiser and the step
// that finish it, and in which word; which byte a lane's lies on.
const int LANE_BITS = bits_below(FILTERS), BYTE_BITS = bits_below(INPUTS);
const int REQUANTISER_BITS = bits_below(REQUANTISERS), STEP_BITS = bits_below(REQUANTISE_STEPS);
const int PART_BITS = bits_below(ADD_PARTS);
// A group fills a word in each round, so that there are more words than groups.
const int WORD_BITS =
    bits_below(GROUPS * ROUNDS < MOST_PLACE_WORDS ? GROUPS * ROUNDS : MOST_PLACE_WORDS);
// Used, requantiser, step, word.
typedef ap_uint<1 + REQUANTISER_BITS + STEP_BITS + WORD_BITS> byte_place_t;
typedef ap_uint<1 + BYTE_BITS> lane_place_t;  // used, byte
typedef ap_uint<bits_below(GROUPS)> group_t;
typedef ap_uint<bits_below(2 * GROUPS)> place_address_t;
typedef banked<byte_place_t, ROUNDS * INPUTS, 2 * GROUPS>::type byte_place_memory_t;
typedef banked<lane_place_t, FILTERS, 2 * GROUPS>::type lane_place_memory_t;

// Tables of the two operands of an addition, one of each per adder. Two halves.
typedef ap_uint<bits_below(2 * TABLE_ENTRIES)> table_address_t;
const int TABLE_BANKS = COPIES * ADDERS;
typedef banked<ap_int<32>, TABLE_BANKS, 2 * TABLE_ENTRIES>::type table_memory_t;

// Sums that wait for the next pass.
typedef ap_uint<bits_below(PARTIAL_SUMS)> partial_address_t;
typedef banked<ap_int<32>, COPIES * FILTERS, PARTIAL_SUMS>::type partial_memory_t;

// The next descriptor: so many words are read in a step that each column of its checksum gets an
// integer.
const int RECORD_BANKS = WORD_INTEGERS < CHECKSUM_COLUMNS ? CHECKSUM_COLUMNS / WORD_INTEGERS : 1;
const int RECORD_ROWS = RECORD_WORDS / RECORD_BANKS;
const int RECORD_DEPTH = power_above(RECORD_ROWS);
typedef ap_uint<bits_below(RECORD_DEPTH)> record_address_t;
typedef banked<word_t, RECORD_BANKS, RECORD_DEPTH>::type record_memory_t;

// A word of it, if `comes`.
inline void write_record_word(record_memory_t &record, bool comes, int index, const word_t &word) {
  AXYNQ_INLINE
  bool enable[RECORD_BANKS];
  AXYNQ_REGISTERS(enable)
  word_t value[RECORD_BANKS];
  AXYNQ_REGISTERS(value)
  for (int bank = 0; bank < RECORD_BANKS; ++bank) {
    AXYNQ_UNROLL
    enable[bank] = comes && index % RECORD_BANKS == bank;
    value[bank] = word;
  }
  write_row(record, enable, record_address_t(index / RECORD_BANKS), value);
}

}  // namespace axynq

#endif
