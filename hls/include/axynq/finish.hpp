// What leaves the lanes: requantisation, division by a count, addition of a residual operand.
#ifndef AXYNQ_FINISH_HPP
#define AXYNQ_FINISH_HPP

#include "axynq/memories.hpp"

namespace axynq {

// The sums of a group that the requantisers have yet to finish, a few lanes a step.
struct pending_t {
  accumulator_t sums[FILTERS];
  byte_place_t byte_places[INPUTS];
  lane_place_t lane_places[FILTERS];
  ap_uint<bits_below(REQUANTISE_STEPS + 1)> step;  // REQUANTISE_STEPS: nothing waits
  constant_address_t row;                          // of its constants
  ap_uint<16> count;                               // positions of the window inside the map
  address_t output, residual;                      // first words of its pixel

  bool waits() const {
    AXYNQ_INLINE
    return step != REQUANTISE_STEPS;
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
  const ap_int<32> dividend = negative ? ap_int<32>(count - twice) : ap_int<32>(count + twice);
  const ap_int<32> value = average ? dividend : biased;
  const bool by_count = average && phase.tables;
  const ap_int<32> scaled = rescale(value, by_count ? multiplier_t(entry) : factor,
                                    by_count ? shift_t(0) : shift, average);
  const ap_int<32> signed_value = average && negative ? ap_int<32>(-scaled) : scaled;
  return quantised(signed_value, phase.pre_add_zero_point, phase.pre_add_low, phase.pre_add_high);
}

// The next lanes of a group: computed, the residual operand added. `operands` are the bytes of the
// residual operand that the group's channels lie on.
inline void finish_step(const phase_t &phase, const pending_t &pending,
                        const constant_row_t constants[REQUANTISERS],
                        const std::int8_t operands[INPUTS], bool table_half,
                        table_memory_t &computed_table, table_memory_t &operand_table,
                        std::int8_t value[REQUANTISERS]) {
  AXYNQ_INLINE
  accumulator_t sum[REQUANTISERS];
  AXYNQ_REGISTERS(sum)
  bool looks_up[REQUANTISERS], looks_up_computed[REQUANTISERS];
  AXYNQ_REGISTERS(looks_up)
  AXYNQ_REGISTERS(looks_up_computed)
  table_address_t operand_address[REQUANTISERS], computed_address[REQUANTISERS];
  AXYNQ_REGISTERS(operand_address)
  AXYNQ_REGISTERS(computed_address)
  ap_int<32> operand_entry[REQUANTISERS], computed_entry[REQUANTISERS];
  AXYNQ_REGISTERS(operand_entry)
  AXYNQ_REGISTERS(computed_entry)
  std::int8_t computed[REQUANTISERS];
  AXYNQ_REGISTERS(computed)
  const bool average = phase.opcode == OPCODE_AVERAGE;
  const int half = table_half ? TABLE_ENTRIES : 0;
  for (int r = 0; r < REQUANTISERS; ++r) {
    AXYNQ_UNROLL
    // A requantiser chooses among the lanes that are its own, one for each step.
    sum[r] = pending.sums[r];
    lane_place_t place = pending.lane_places[r];
    for (int step = 1; step < REQUANTISE_STEPS; ++step) {
      AXYNQ_UNROLL
      if (pending.step == step) {
        sum[r] = pending.sums[step * REQUANTISERS + r];
        place = pending.lane_places[step * REQUANTISERS + r];
      }
    }
    const std::int8_t operand = operands[byte_of_lane(place)];
    const ap_uint<8> index =
        average ? ap_uint<8>(pending.count) : ap_uint<8>(std::uint8_t(operand));
    operand_address[r] = half + int(index);
    looks_up[r] = pending.waits() && phase.tables;
  }
  read_banks(operand_table, looks_up, operand_address, operand_entry);
  for (int r = 0; r < REQUANTISERS; ++r) {
    AXYNQ_UNROLL
    computed[r] = computed_value(phase, sum[r], constants[r], int(operand_entry[r]), pending.count);
    computed_address[r] = half + int(std::uint8_t(computed[r]));
    looks_up_computed[r] = pending.waits() && phase.has_residual;
  }
  read_banks(computed_table, looks_up_computed, computed_address, computed_entry);
  for (int r = 0; r < REQUANTISERS; ++r) {
    AXYNQ_UNROLL
    const ap_int<32> total = computed_entry[r] + operand_entry[r];
    const ap_int<32> scaled = rescale(total, phase.destination_multiplier, phase.destination_shift);
    const std::int8_t added =
        quantised(scaled, phase.destination_zero_point, phase.clamp_low, phase.clamp_high);
    value[r] = phase.has_residual ? added : computed[r];
  }
}

}  // namespace axynq

#endif
