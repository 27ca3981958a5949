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
  AXYNQ_COUNT(COUNT_PROGRAM_WORDS, RECORD_WORDS);
  AXYNQ_COUNT(COUNT_BURSTS, 1);
  return std::uint32_t(record[CHECKSUM_FIELD]) == sum;
}

// Where a feature map lies in memory.
struct region_t {
  std::int32_t offset;       // words before it for each image of the batch
  std::int32_t image_words;  // words per image

  std::int64_t image(int images, int index) const {
    AXYNQ_INLINE
    return std::int64_t(offset) * images + std::int64_t(image_words) * index;
  }
};

// How sums or operands are brought to another scale.
struct factor_t {
  std::int32_t multiplier;
  int shift;
};

// The fields of a descriptor by name.
struct layer_t {
  int opcode;
  region_t source, second, destination;
  int input_rows, input_columns, input_pixel_words;
  int output_rows, output_columns, output_pixel_words;
  int kernel_rows, kernel_columns, stride_rows, stride_columns, dilation_rows, dilation_columns;
  int padding_top, padding_left;
  int tile_rows;
  int source_zero_point, second_zero_point, destination_zero_point, clamp_low, clamp_high;
  int blocks, block_groups, block_pixel_words;
  std::int32_t weights_offset, constants_offset;
  factor_t source_factor, second_factor, destination_factor;

  bool multiplies() const {
    AXYNQ_INLINE
    return opcode == OPCODE_CONVOLUTION || opcode == OPCODE_DEPTHWISE;
  }

  // Steps in which one group of filters computes one output pixel.
  int taps() const {
    AXYNQ_INLINE
    return kernel_rows * kernel_columns * (opcode == OPCODE_DEPTHWISE ? 1 : input_pixel_words);
  }
};

inline layer_t layer_from(const std::int32_t *record) {
  AXYNQ_INLINE
  layer_t layer;
  layer.opcode = record[FIELD_OPCODE];
  layer.source.offset = record[FIELD_SOURCE_OFFSET];
  layer.source.image_words = record[FIELD_SOURCE_IMAGE_WORDS];
  layer.second.offset = record[FIELD_SECOND_OFFSET];
  layer.second.image_words = record[FIELD_SECOND_IMAGE_WORDS];
  layer.destination.offset = record[FIELD_DESTINATION_OFFSET];
  layer.destination.image_words = record[FIELD_DESTINATION_IMAGE_WORDS];
  layer.input_rows = record[FIELD_INPUT_ROWS];
  layer.input_columns = record[FIELD_INPUT_COLUMNS];
  layer.input_pixel_words = record[FIELD_INPUT_PIXEL_WORDS];
  layer.output_rows = record[FIELD_OUTPUT_ROWS];
  layer.output_columns = record[FIELD_OUTPUT_COLUMNS];
  layer.output_pixel_words = record[FIELD_OUTPUT_PIXEL_WORDS];
  layer.kernel_rows = record[FIELD_KERNEL_ROWS];
  layer.kernel_columns = record[FIELD_KERNEL_COLUMNS];
  layer.stride_rows = record[FIELD_STRIDE_ROWS];
  layer.stride_columns = record[FIELD_STRIDE_COLUMNS];
  layer.dilation_rows = record[FIELD_DILATION_ROWS];
  layer.dilation_columns = record[FIELD_DILATION_COLUMNS];
  layer.padding_top = record[FIELD_PADDING_TOP];
  layer.padding_left = record[FIELD_PADDING_LEFT];
  layer.tile_rows = record[FIELD_TILE_ROWS];
  layer.source_zero_point = record[FIELD_SOURCE_ZERO_POINT];
  layer.second_zero_point = record[FIELD_SECOND_ZERO_POINT];
  layer.destination_zero_point = record[FIELD_DESTINATION_ZERO_POINT];
  layer.clamp_low = record[FIELD_CLAMP_LOW];
  layer.clamp_high = record[FIELD_CLAMP_HIGH];
  layer.blocks = record[FIELD_BLOCKS];
  layer.block_groups = record[FIELD_BLOCK_GROUPS];
  layer.block_pixel_words = record[FIELD_BLOCK_PIXEL_WORDS];
  layer.weights_offset = record[FIELD_WEIGHTS_OFFSET];
  layer.constants_offset = record[FIELD_CONSTANTS_OFFSET];
  layer.source_factor.multiplier = record[FIELD_SOURCE_MULTIPLIER];
  layer.source_factor.shift = record[FIELD_SOURCE_SHIFT];
  layer.second_factor.multiplier = record[FIELD_SECOND_MULTIPLIER];
  layer.second_factor.shift = record[FIELD_SECOND_SHIFT];
  layer.destination_factor.multiplier = record[FIELD_DESTINATION_MULTIPLIER];
  layer.destination_factor.shift = record[FIELD_DESTINATION_SHIFT];
  return layer;
}

}  // namespace axynq

#endif
