// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// What leaves the lanes: requantisation, division by a count, addition of a residual operand.
#ifndef AXYNQ_FINISH_HPP
#define AXYNQ_FINISH_HPP

#include "axynq/memories.hpp"

namespace axynq {

// The sums of a group that the requantisers have yet to finish, a few lanes a step.
struct pending_t {
  accumulator_t sums[COPIES * FILTERS];
  byte_place_t byte_places[ROUNDS * INPUTS];
  lane_place_t lane_places[FILTERS];
  bool waits;                  // whether there are any
  ap_uint<STEP_BITS> step;     // of finishing them
  ap_uint<PART_BITS> part;     // of the step's outputs, for the adders
  bool last_part;              // whether it is the last
  constant_address_t row;      // of its constants
  ap_uint<16> count;           // positions of the window inside the map
  address_t output, residual;  // first words of its pixel

  // What lies on each byte in the round that the step belongs to, and the round's first step.
  int round(byte_place_t places[INPUTS]) const {
    AXYNQ_INLINE
    int first = 0;
    for (int b = 0; b < INPUTS; ++b) {
      AXYNQ_UNROLL
      places[b] = byte_places[b];
    }
    for (int round = 1; round < ROUNDS; ++round) {
      AXYNQ_UNROLL
      const bool begun = step >= round * ROUND_STEPS;
      if (begun) first = round * ROUND_STEPS;
      for (int b = 0; b < INPUTS; ++b) {
        AXYNQ_UNROLL
        if (begun) places[b] = byte_places[round * INPUTS + b];
      }
    }
    return first;
  }
};

inline bool used(byte_place_t place) {
  AXYNQ_INLINE
  return (place & 1) != 0;
}

inline ap_uint<REQUANTISER_BITS> requantiser_of(byte_place_t place) {
  AXYNQ_INLINE
  return ap_uint<REQUANTISER_BITS>(place >> 1);
}

inline ap_uint<STEP_BITS> step_of(byte_place_t place) {
  AXYNQ_INLINE
  return ap_uint<STEP_BITS>(place >> (1 + REQUANTISER_BITS));
}

inline ap_uint<WORD_BITS> word_of(byte_place_t place) {
  AXYNQ_INLINE
  return ap_uint<WORD_BITS>(place >> (1 + REQUANTISER_BITS + STEP_BITS));
}

inline ap_uint<BYTE_BITS> byte_of_lane(lane_place_t place) {
  AXYNQ_INLINE
  return ap_uint<BYTE_BITS>(place >> 1);
}

// Whether the adders take an output in a part of its step.
inline bool is_of_part(ap_uint<REQUANTISER_BITS> requantiser, ap_uint<PART_BITS> part) {
  AXYNQ_INLINE
  return int(requantiser) / ADDERS == int(part);
}

// What comes out of a lane's sum before a residual operand is added. An average divides by a
// factor of its count: (2 |sum| + count) / (2 count), which is rounded, cut off.
inline std::int8_t computed_value(const phase_t &phase, accumulator_t sum,
                                  const constant_row_t &row, std::int32_t entry,
                                  ap_uint<16> count) {
  AXYNQ_INLINE
  const bool average = phase.opcode == OPCODE_AVERAGE;
  const ap_int<32> bias = ap_int<32>(row >> (31 + 6));
  const ap_uint<6> shift_bits = ap_uint<6>(row);
  shift_t shift;
  shift = shift_bits;
  const multiplier_t factor = multiplier_t(row >> 6);
  const ap_int<32> biased = ap_int<32>(std::int32_t(std::uint32_t(sum) + std::uint32_t(int(bias))));
  // An average has no bias.
  const bool negative = sum < 0;
  const ap_int<32> twice = ap_int<32>(sum) << 1;
  const ap_uint<17> rounding = count + ap_uint<1>(negative);
  const ap_int<32> dividend = (negative ? ap_int<32>(~twice) : twice) + rounding;
  const ap_int<32> value = average ? dividend : biased;
  const bool by_count = average && phase.tables;
  const ap_int<32> scaled = rescale(value, by_count ? multiplier_t(entry) : factor,
                                    by_count ? shift_t(0) : shift, average);
  // An average is an int8.
  const ap_int<10> opposite = -ap_int<10>(scaled);
  const ap_int<32> signed_value = average && negative ? ap_int<32>(opposite) : scaled;
  return quantised(signed_value, phase.pre_add_zero_point, phase.pre_add_low, phase.pre_add_high);
}

// The next lanes of a group, of all copies: computed, the residual operand added. `operands` are
// the bytes of the residual operand that the group's channels lie on. Adders are fewer than
// requantisers: they take the outputs of a step in parts, in a step for each.
inline void finish_step(const phase_t &phase, const pending_t &pending,
                        const constant_row_t constants[REQUANTISERS],
                        const std::int8_t operands[COPIES * INPUTS], bool table_half,
                        table_memory_t &computed_table, table_memory_t &operand_table,
                        std::int8_t value[COPIES * REQUANTISERS]) {
  AXYNQ_INLINE
  accumulator_t sum[COPIES * REQUANTISERS];
  AXYNQ_REGISTERS(sum)
  lane_place_t place[REQUANTISERS];
  AXYNQ_REGISTERS(place)
  for (int r = 0; r < REQUANTISERS; ++r) {
    AXYNQ_UNROLL
    // A requantiser chooses among the lanes that are its own, one for each step.
    place[r] = pending.lane_places[r];
    for (int step = 1; step < REQUANTISE_STEPS; ++step) {
      AXYNQ_UNROLL
      if (pending.step == step) place[r] = pending.lane_places[step * REQUANTISERS + r];
    }
    for (int copy = 0; copy < COPIES; ++copy) {
      AXYNQ_UNROLL
      accumulator_t own = pending.sums[copy * FILTERS + r];
      for (int step = 1; step < REQUANTISE_STEPS; ++step) {
        AXYNQ_UNROLL
        if (pending.step == step) own = pending.sums[copy * FILTERS + step * REQUANTISERS + r];
      }
      sum[copy * REQUANTISERS + r] = own;
    }
  }

  // The other operand, or for an average what divides by the count.
  const bool average = phase.opcode == OPCODE_AVERAGE;
  const int half = table_half ? TABLE_ENTRIES : 0;
  bool looks_up[TABLE_BANKS], looks_up_computed[TABLE_BANKS];
  AXYNQ_REGISTERS(looks_up)
  AXYNQ_REGISTERS(looks_up_computed)
  table_address_t operand_address[TABLE_BANKS], computed_address[TABLE_BANKS];
  AXYNQ_REGISTERS(operand_address)
  AXYNQ_REGISTERS(computed_address)
  ap_int<32> operand_entry[TABLE_BANKS], computed_entry[TABLE_BANKS];
  AXYNQ_REGISTERS(operand_entry)
  AXYNQ_REGISTERS(computed_entry)
  for (int bank = 0; bank < TABLE_BANKS; ++bank) {
    AXYNQ_UNROLL
    const int first = bank / ADDERS * INPUTS, a = bank % ADDERS;
    lane_place_t own = place[a];
    std::int8_t straight = operands[first + a];
    for (int part = 0; part < ADD_PARTS; ++part) {
      AXYNQ_UNROLL
      if (pending.part == part) own = place[part * ADDERS + a];
      for (int step = 0; step < REQUANTISE_STEPS; ++step) {
        AXYNQ_UNROLL
        if (pending.part == part && pending.step == step)
          straight = operands[first + (step * REQUANTISERS + part * ADDERS + a) % INPUTS];
      }
    }
    const std::int8_t operand = STRAIGHT ? straight : operands[first + int(byte_of_lane(own))];
    const ap_uint<8> index =
        average ? ap_uint<8>(pending.count) : ap_uint<8>(std::uint8_t(operand));
    operand_address[bank] = half + int(index);
    looks_up[bank] = pending.waits && phase.tables;
  }
  read_banks(operand_table, looks_up, operand_address, operand_entry);

  std::int8_t computed[COPIES * REQUANTISERS];
  AXYNQ_REGISTERS(computed)
  for (int r = 0; r < COPIES * REQUANTISERS; ++r) {
    AXYNQ_UNROLL
    computed[r] = computed_value(phase, sum[r], constants[r % REQUANTISERS],
                                 int(operand_entry[r / REQUANTISERS * ADDERS]), pending.count);
  }
  for (int bank = 0; bank < TABLE_BANKS; ++bank) {
    AXYNQ_UNROLL
    const int first = bank / ADDERS * REQUANTISERS, a = bank % ADDERS;
    std::int8_t own = computed[first + a];
    for (int part = 1; part < ADD_PARTS; ++part) {
      AXYNQ_UNROLL
      if (pending.part == part) own = computed[first + part * ADDERS + a];
    }
    computed_address[bank] = half + int(std::uint8_t(own));
    looks_up_computed[bank] = pending.waits && phase.has_residual;
  }
  read_banks(computed_table, looks_up_computed, computed_address, computed_entry);
  std::int8_t added[TABLE_BANKS];
  AXYNQ_REGISTERS(added)
  for (int bank = 0; bank < TABLE_BANKS; ++bank) {
    AXYNQ_UNROLL
    const ap_int<32> total = computed_entry[bank] + operand_entry[bank];
    const ap_int<32> scaled = rescale(total, phase.destination_multiplier, phase.destination_shift);
    added[bank] =
        quantised(scaled, phase.destination_zero_point, phase.clamp_low, phase.clamp_high);
  }
  for (int r = 0; r < COPIES * REQUANTISERS; ++r) {
    AXYNQ_UNROLL
    value[r] = phase.has_residual ? added[r / REQUANTISERS * ADDERS + r % ADDERS] : computed[r];
  }
}

}  // namespace axynq

#endif
