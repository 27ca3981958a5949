// Generated from host/isa.py. Do not edit: run `make generate`.
#ifndef AXYNQ_ISA_HPP
#define AXYNQ_ISA_HPP

#include <cstdint>

namespace axynq {

const std::uint32_t ISA_VERSION = 2;
const std::uint32_t PROGRAM_MAGIC = 0x4E595841u;
const int RECORD_INTEGERS = 64;
const int CHECKSUM_FIELD = 63;
const int CONSTANT_INTEGERS = 4;

// Integers of the program header.
enum {
  HEADER_MAGIC = 0,
  HEADER_VERSION = 1,
  HEADER_OVERLAY = 2,
  HEADER_LAYERS = 3,
  HEADER_PROGRAM_WORDS = 4,
};

// What a layer does. 0 is left out, so that cleared memory is no program.
enum {
  OPCODE_CONVOLUTION = 1,
  OPCODE_DEPTHWISE = 2,
  OPCODE_ADD = 3,
  OPCODE_MAX_POOL = 4,
  OPCODE_AVERAGE_POOL = 5,
  OPCODE_MEAN = 6,
  OPCODE_PAD = 7,
};

// Integers of a layer descriptor.
enum {
  FIELD_OPCODE = 0,
  FIELD_SOURCE_OFFSET = 1,
  FIELD_SOURCE_IMAGE_WORDS = 2,
  FIELD_SECOND_OFFSET = 3,  // operand of the addition that is not computed here
  FIELD_SECOND_IMAGE_WORDS = 4,
  FIELD_DESTINATION_OFFSET = 5,
  FIELD_DESTINATION_IMAGE_WORDS = 6,
  FIELD_INPUT_ROWS = 7,
  FIELD_INPUT_COLUMNS = 8,
  FIELD_INPUT_PIXEL_WORDS = 9,
  FIELD_OUTPUT_ROWS = 10,
  FIELD_OUTPUT_COLUMNS = 11,
  FIELD_OUTPUT_PIXEL_WORDS = 12,
  FIELD_KERNEL_ROWS = 13,
  FIELD_KERNEL_COLUMNS = 14,
  FIELD_STRIDE_ROWS = 15,
  FIELD_STRIDE_COLUMNS = 16,
  FIELD_DILATION_ROWS = 17,
  FIELD_DILATION_COLUMNS = 18,
  FIELD_PADDING_TOP = 19,
  FIELD_PADDING_LEFT = 20,
  FIELD_FOLD_CHANNELS = 21,  // with few channels, byte lanes take several taps: channels of each tap,
  FIELD_FOLD_ROWS = 22,  // kernel rows that lie side by side in a step,
  FIELD_FOLD_COLUMNS = 23,  // and kernel columns; the kernel is counted in steps of them
  FIELD_TILE_ROWS = 24,  // output rows computed at a time
  FIELD_PASSES = 25,  // parts of the taps whose weights are on chip at a time, and taps of each
  FIELD_PASS_TAPS = 26,
  FIELD_BLOCKS = 27,  // filter blocks whose weights are on chip at a time
  FIELD_BLOCK_GROUPS = 28,  // groups of filters in a block; a group fills the lanes once
  FIELD_BLOCK_PIXEL_WORDS = 29,  // words of each output pixel that a block computes
  FIELD_WEIGHTS_OFFSET = 30,  // from the start of the program
  FIELD_CONSTANTS_OFFSET = 31,  // from the start of the program
  FIELD_RESIDUAL = 32,  // 1: the second operand is added to what is computed
  FIELD_SOURCE_ZERO_POINT = 33,
  FIELD_INNER_ZERO_POINT = 34,  // of what is computed, before the addition
  FIELD_INNER_LOW = 35,
  FIELD_INNER_HIGH = 36,
  FIELD_SECOND_ZERO_POINT = 37,
  FIELD_DESTINATION_ZERO_POINT = 38,
  FIELD_CLAMP_LOW = 39,
  FIELD_CLAMP_HIGH = 40,
  FIELD_INNER_MULTIPLIER = 41,  // factors of the addition; a mean uses the destination's
  FIELD_INNER_SHIFT = 42,
  FIELD_SECOND_MULTIPLIER = 43,
  FIELD_SECOND_SHIFT = 44,
  FIELD_DESTINATION_MULTIPLIER = 45,
  FIELD_DESTINATION_SHIFT = 46,
};

// Integers per lane and group in a layer's constants.
enum {
  CONSTANT_BIAS = 0,
  CONSTANT_MULTIPLIER = 1,
  CONSTANT_SHIFT = 2,
  CONSTANT_CHANNEL = 3,
};

// What the core reports when it is done.
enum {
  STATUS_OK = 0,
  STATUS_BAD_MAGIC = 1,
  STATUS_BAD_VERSION = 2,
  STATUS_WRONG_OVERLAY = 3,
  STATUS_BAD_CHECKSUM = 4,
  STATUS_BAD_OPCODE = 5,
  STATUS_DOES_NOT_FIT = 6,
};

}  // namespace axynq

#endif
