// Weights, codes and constants of the filter block that is on chip.
#ifndef AXYNQ_WEIGHTS_HPP
#define AXYNQ_WEIGHTS_HPP

#include "axynq/layer.hpp"
#include "axynq/memory.hpp"
#include "axynq/pragmas.hpp"

namespace axynq {

// Where every bank holds one multiplier there are no codes, in memory or on chip.
const bool HAS_CODES = STORED_CODE_BITS > 0;
typedef ap_uint<(STORED_CODE_BITS > 0 ? STORED_CODE_BITS : 1)> code_t;

// One memory per lane; a vector is read in one step.
typedef std::int8_t weight_buffer_t[FILTERS][WEIGHT_VECTORS][INPUTS];
typedef code_t code_buffer_t[FILTERS][HAS_CODES ? WEIGHT_VECTORS : 1][INPUTS];
// Per lane and group: isa.hpp's constants.
typedef std::int32_t constant_buffer_t[FILTERS][CONSTANT_INTEGERS][GROUPS];

// Lanes whose codes share a word of memory, and the words that all codes of a vector take.
const int CODE_LANES = HAS_CODES ? 8 / (HAS_CODES ? STORED_CODE_BITS : 1) : FILTERS;
const int CODE_WORDS = HAS_CODES ? (FILTERS + CODE_LANES - 1) / CODE_LANES : 0;
const int VECTOR_WORDS = FILTERS + CODE_WORDS;

// Vectors of weights: for each a word per lane, then the codes of all lanes.
inline void load_weights(read_port_t program, std::int64_t first, int vectors,
                         weight_buffer_t weights, code_buffer_t codes) {
  AXYNQ_NO_INLINE
  int vector = 0, part = 0;
LOAD_WEIGHTS:
  for (int i = 0; i < vectors * VECTOR_WORDS; ++i) {
    AXYNQ_PIPELINE
    const word_t word = program[first + i];
    for (int lane = 0; lane < FILTERS; ++lane) {
      AXYNQ_UNROLL
      for (int k = 0; k < INPUTS; ++k) {
        AXYNQ_UNROLL
        if (part == lane) weights[lane][vector][k] = byte_of(word, k);
        if (HAS_CODES && part == FILTERS + lane / CODE_LANES)
          codes[lane][vector][k] =
              code_t(word >> (((lane % CODE_LANES) * INPUTS + k) * STORED_CODE_BITS));
      }
    }
    if (++part == VECTOR_WORDS) {
      part = 0;
      ++vector;
    }
  }
  AXYNQ_COUNT(COUNT_WEIGHT_WORDS, vectors * VECTOR_WORDS);
  AXYNQ_COUNT(COUNT_PROGRAM_BURSTS, 1);
}

// A block's constants: for each group and lane the integers of isa.hpp. Returns whether every
// channel they name lies within the block's words.
inline bool load_constants(read_port_t program, std::int64_t first, int groups, int first_channel,
                           int channels, constant_buffer_t constants) {
  AXYNQ_NO_INLINE
  const int integers = groups * FILTERS * CONSTANT_INTEGERS;
  const int words = (integers + WORD_INTEGERS - 1) / WORD_INTEGERS;
  int group = 0, lane = 0, which = 0;
  bool inside = true;
LOAD_CONSTANTS:
  for (int i = 0; i < words; ++i) {
    AXYNQ_PRAGMA(HLS PIPELINE)
    const word_t word = program[first + i];
    for (int k = 0; k < WORD_INTEGERS; ++k) {
      AXYNQ_UNROLL
      if (group < groups) {
        const std::int32_t value = integer_of(word, k);
        constants[lane][which][group] = value;
        if (which == CONSTANT_CHANNEL && value >= 0)
          inside = inside && value >= first_channel && value < first_channel + channels;
        if (++which == CONSTANT_INTEGERS) {
          which = 0;
          if (++lane == FILTERS) {
            lane = 0;
            ++group;
          }
        }
      }
    }
  }
  AXYNQ_COUNT(COUNT_CONSTANT_WORDS, words);
  AXYNQ_COUNT(COUNT_PROGRAM_BURSTS, 1);
  return inside;
}

}  // namespace axynq

#endif
