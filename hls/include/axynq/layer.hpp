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

// The fields of a descriptor by name; isa.hpp explains them.
struct layer_t {
  int opcode;
  region_t source, second, destination;
  int input_rows, input_columns, input_pixel_words;
  int output_rows, output_columns, output_pixel_words;
  int kernel_rows, kernel_columns, stride_rows, stride_columns, dilation_rows, dilation_columns;
  int padding_top, padding_left;
  int fold_channels, fold_rows, fold_columns;
  int tile_rows;
  int passes, pass_taps;
  int blocks, block_groups, block_pixel_words;
  std::int32_t weights_offset, constants_offset;
  bool residual;
  int source_zero_point, inner_zero_point, inner_low, inner_high, second_zero_point;
  int destination_zero_point, clamp_low, clamp_high;
  factor_t inner_factor, second_factor, destination_factor;

  // Layers whose outputs leave the lanes: they multiply, or add what they read.
  bool uses_lanes() const {
    AXYNQ_INLINE
    return opcode == OPCODE_CONVOLUTION || opcode == OPCODE_DEPTHWISE || opcode == OPCODE_ADD;
  }

  bool has_weights() const {
    AXYNQ_INLINE
    return opcode == OPCODE_CONVOLUTION || opcode == OPCODE_DEPTHWISE;
  }

  // Rows of the input that one output row sees, and rows that one kernel step moves down.
  int kernel_extent() const {
    AXYNQ_INLINE
    return (kernel_rows * fold_rows - 1) * dilation_rows + 1;
  }

  // Positions of the kernel, in the order rows, columns, channel words (depthwise: no words).
  int taps() const {
    AXYNQ_INLINE
    return kernel_rows * kernel_columns * (opcode == OPCODE_CONVOLUTION ? input_pixel_words : 1);
  }

  // Weight vectors of a group of filters: a convolution multiplies a vector at each tap, a
  // depthwise layer once as many taps have come in as a lane has multipliers.
  int group_vectors() const {
    AXYNQ_INLINE
    return opcode == OPCODE_CONVOLUTION ? taps() : (taps() + INPUTS - 1) / INPUTS;
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
  layer.fold_channels = record[FIELD_FOLD_CHANNELS];
  layer.fold_rows = record[FIELD_FOLD_ROWS];
  layer.fold_columns = record[FIELD_FOLD_COLUMNS];
  layer.tile_rows = record[FIELD_TILE_ROWS];
  layer.passes = record[FIELD_PASSES];
  layer.pass_taps = record[FIELD_PASS_TAPS];
  layer.blocks = record[FIELD_BLOCKS];
  layer.block_groups = record[FIELD_BLOCK_GROUPS];
  layer.block_pixel_words = record[FIELD_BLOCK_PIXEL_WORDS];
  layer.weights_offset = record[FIELD_WEIGHTS_OFFSET];
  layer.constants_offset = record[FIELD_CONSTANTS_OFFSET];
  layer.residual = record[FIELD_RESIDUAL] != 0;
  layer.source_zero_point = record[FIELD_SOURCE_ZERO_POINT];
  layer.inner_zero_point = record[FIELD_INNER_ZERO_POINT];
  layer.inner_low = record[FIELD_INNER_LOW];
  layer.inner_high = record[FIELD_INNER_HIGH];
  layer.second_zero_point = record[FIELD_SECOND_ZERO_POINT];
  layer.destination_zero_point = record[FIELD_DESTINATION_ZERO_POINT];
  layer.clamp_low = record[FIELD_CLAMP_LOW];
  layer.clamp_high = record[FIELD_CLAMP_HIGH];
  layer.inner_factor.multiplier = record[FIELD_INNER_MULTIPLIER];
  layer.inner_factor.shift = record[FIELD_INNER_SHIFT];
  layer.second_factor.multiplier = record[FIELD_SECOND_MULTIPLIER];
  layer.second_factor.shift = record[FIELD_SECOND_SHIFT];
  layer.destination_factor.multiplier = record[FIELD_DESTINATION_MULTIPLIER];
  layer.destination_factor.shift = record[FIELD_DESTINATION_SHIFT];
  return layer;
}

}  // namespace axynq

#endif
