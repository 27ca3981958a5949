// Generated from host/isa.py. Do not edit: run `make generate`.
#ifndef AXYNQ_ISA_HPP
#define AXYNQ_ISA_HPP

#include <cstdint>

#include "axynq/pragmas.hpp"

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

// A layer descriptor. docs/descriptor.md has units and ranges, and what a layer computes.
struct layer_t {
  std::int32_t opcode;                   // what the layer does
  std::int32_t source_offset;            // where the input is
  std::int32_t source_image_words;       // size of the input
  std::int32_t residual_offset;          // where the residual operand is
  std::int32_t residual_image_words;     // size of the residual operand
  std::int32_t destination_offset;       // where the output goes
  std::int32_t destination_image_words;  // size of the output
  std::int32_t input_rows;               // height of the input
  std::int32_t input_columns;            // width of the input
  std::int32_t input_pixel_words;        // all channels of a pixel of the input
  std::int32_t output_rows;              // height of the output
  std::int32_t output_columns;           // width of the output
  std::int32_t output_pixel_words;       // all channels of a pixel of the output
  std::int32_t kernel_rows;              // height of the kernel
  std::int32_t kernel_columns;           // width of the kernel
  std::int32_t stride_rows;              // from an output row to the next
  std::int32_t stride_columns;           // from an output column to the next
  std::int32_t dilation_rows;            // from a kernel row to the next
  std::int32_t dilation_columns;         // from a kernel column to the next
  std::int32_t padding_top;              // padding above the input
  std::int32_t padding_left;             // padding left of the input
  std::int32_t fold_channels;            // channels of each tap, where a word takes several taps
  std::int32_t fold_rows;                // kernel rows that lie side by side in a word
  std::int32_t fold_columns;             // kernel columns that lie side by side in a word
  std::int32_t tile_rows;                // computed at a time
  std::int32_t passes;                   // parts of the taps whose weights are on chip at a time
  std::int32_t pass_taps;                // taps of a pass; the last may have fewer
  std::int32_t blocks;                   // parts of the filters whose weights are on chip at a time
  std::int32_t block_groups;             // groups of filters in a block; a group fills the lanes
  std::int32_t block_pixel_words;        // what a block computes of each output pixel
  std::int32_t weights_offset;           // where weights and codes are
  std::int32_t constants_offset;         // where the constants are
  std::int32_t has_residual;             // whether the residual operand is added
  std::int32_t source_zero_point;        // zero point of the input
  std::int32_t pre_add_zero_point;       // zero point of what the lanes compute
  std::int32_t pre_add_low;              // smallest value that leaves the lanes
  std::int32_t pre_add_high;             // largest value that leaves the lanes
  std::int32_t residual_zero_point;      // zero point of the residual operand
  std::int32_t destination_zero_point;   // zero point of a sum, a mean or a pad
  std::int32_t clamp_low;                // smallest output of a sum or a pool
  std::int32_t clamp_high;               // largest output of a sum or a pool
  std::int32_t pre_add_multiplier;       // factor of what the lanes compute, in an addition
  std::int32_t pre_add_shift;            // that factor's shift: left where positive
  std::int32_t residual_multiplier;      // factor of the residual operand, in an addition
  std::int32_t residual_shift;           // that factor's shift: left where positive
  std::int32_t destination_multiplier;   // factor of an addition's sum, or of a mean's
  std::int32_t destination_shift;        // that factor's shift: left where positive
};

// The descriptor that a program's integers are.
inline layer_t layer_from(const std::int32_t *record) {
  AXYNQ_INLINE
  layer_t layer;
  layer.opcode = record[0];
  layer.source_offset = record[1];
  layer.source_image_words = record[2];
  layer.residual_offset = record[3];
  layer.residual_image_words = record[4];
  layer.destination_offset = record[5];
  layer.destination_image_words = record[6];
  layer.input_rows = record[7];
  layer.input_columns = record[8];
  layer.input_pixel_words = record[9];
  layer.output_rows = record[10];
  layer.output_columns = record[11];
  layer.output_pixel_words = record[12];
  layer.kernel_rows = record[13];
  layer.kernel_columns = record[14];
  layer.stride_rows = record[15];
  layer.stride_columns = record[16];
  layer.dilation_rows = record[17];
  layer.dilation_columns = record[18];
  layer.padding_top = record[19];
  layer.padding_left = record[20];
  layer.fold_channels = record[21];
  layer.fold_rows = record[22];
  layer.fold_columns = record[23];
  layer.tile_rows = record[24];
  layer.passes = record[25];
  layer.pass_taps = record[26];
  layer.blocks = record[27];
  layer.block_groups = record[28];
  layer.block_pixel_words = record[29];
  layer.weights_offset = record[30];
  layer.constants_offset = record[31];
  layer.has_residual = record[32];
  layer.source_zero_point = record[33];
  layer.pre_add_zero_point = record[34];
  layer.pre_add_low = record[35];
  layer.pre_add_high = record[36];
  layer.residual_zero_point = record[37];
  layer.destination_zero_point = record[38];
  layer.clamp_low = record[39];
  layer.clamp_high = record[40];
  layer.pre_add_multiplier = record[41];
  layer.pre_add_shift = record[42];
  layer.residual_multiplier = record[43];
  layer.residual_shift = record[44];
  layer.destination_multiplier = record[45];
  layer.destination_shift = record[46];
  return layer;
}

// Whether everything that is counted is there at least once.
inline bool has_size(const layer_t &layer) {
  AXYNQ_INLINE
  return layer.input_rows >= 1 &&
         layer.input_columns >= 1 &&
         layer.input_pixel_words >= 1 &&
         layer.output_rows >= 1 &&
         layer.output_columns >= 1 &&
         layer.output_pixel_words >= 1 &&
         layer.kernel_rows >= 1 &&
         layer.kernel_columns >= 1 &&
         layer.stride_rows >= 1 &&
         layer.stride_columns >= 1 &&
         layer.dilation_rows >= 1 &&
         layer.dilation_columns >= 1 &&
         layer.fold_rows >= 1 &&
         layer.fold_columns >= 1 &&
         layer.tile_rows >= 1 &&
         layer.passes >= 1 &&
         layer.pass_taps >= 1 &&
         layer.blocks >= 1 &&
         layer.block_pixel_words >= 1;
}

}  // namespace axynq

#endif
