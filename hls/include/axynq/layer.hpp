// A layer descriptor, fetched from the program.
#ifndef AXYNQ_LAYER_HPP
#define AXYNQ_LAYER_HPP

#include "axynq/isa.hpp"
#include "axynq/memory.hpp"
#include "axynq/pragmas.hpp"

namespace axynq {

const int RECORD_WORDS = RECORD_INTEGERS / WORD_INTEGERS;

// The header or a descriptor. Returns whether its checksum is right.
inline bool fetch_record(read_port_t program, std::int32_t first_word, std::int32_t *record) {
  AXYNQ_NO_INLINE
  std::uint32_t sum = PROGRAM_MAGIC;
FETCH_RECORD:
  for (int i = 0; i < RECORD_WORDS; ++i) {
    AXYNQ_PRAGMA(HLS PIPELINE)
    const word_t word = program[first_word + i];
    for (int k = 0; k < WORD_INTEGERS; ++k) {
      AXYNQ_UNROLL
      const int field = i * WORD_INTEGERS + k;
      const std::int32_t value = integer_of(word, k);
      record[field] = value;
      if (field != CHECKSUM_FIELD) sum = ((sum << 1) | (sum >> 31)) + std::uint32_t(value);
    }
  }
  AXYNQ_COUNT(COUNT_RECORD_WORDS, RECORD_WORDS);
  AXYNQ_COUNT(COUNT_PROGRAM_BURSTS, 1);
  return std::uint32_t(record[CHECKSUM_FIELD]) == sum;
}

// First word of an image of a feature map.
inline std::int64_t image_at(std::int32_t offset, std::int32_t image_words, int images, int index) {
  AXYNQ_INLINE
  return std::int64_t(offset) * images + std::int64_t(image_words) * index;
}

// Layers whose outputs leave the lanes: they multiply, or add what they read.
inline bool uses_lanes(const layer_t &layer) {
  AXYNQ_INLINE
  return layer.opcode == OPCODE_CONVOLUTION || layer.opcode == OPCODE_DEPTHWISE ||
         layer.opcode == OPCODE_ADD;
}

inline bool has_weights(const layer_t &layer) {
  AXYNQ_INLINE
  return layer.opcode == OPCODE_CONVOLUTION || layer.opcode == OPCODE_DEPTHWISE;
}

// Rows of the input that one output row sees.
inline int kernel_extent(const layer_t &layer) {
  AXYNQ_INLINE
  return (layer.kernel_rows * layer.fold_rows - 1) * layer.dilation_rows + 1;
}

// Words of a kernel position that are taps of their own; a depthwise filter sees one byte.
inline int tap_words(const layer_t &layer) {
  AXYNQ_INLINE
  return layer.opcode == OPCODE_CONVOLUTION ? layer.input_pixel_words : 1;
}

// Operand words that one output takes, in the order kernel rows, kernel columns, channel words.
inline int tap_count(const layer_t &layer) {
  AXYNQ_INLINE
  return layer.kernel_rows * layer.kernel_columns * tap_words(layer);
}

// Weight vectors of a group of filters: a convolution multiplies a vector at each tap, a
// depthwise layer once as many taps have come in as a lane has multipliers.
inline int group_vectors(const layer_t &layer) {
  AXYNQ_INLINE
  const int taps = tap_count(layer);
  return layer.opcode == OPCODE_CONVOLUTION ? taps : (taps + INPUTS - 1) / INPUTS;
}

}  // namespace axynq

#endif
