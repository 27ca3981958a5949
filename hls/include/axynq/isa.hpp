// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers
// Generated from host/isa.py. Do not edit: run `make generate`.
#ifndef AXYNQ_ISA_HPP
#define AXYNQ_ISA_HPP

#include <ap_int.h>

#include <cstdint>

#include "axynq/pragmas.hpp"

namespace axynq {

const std::uint32_t ISA_VERSION = 4;
const std::uint32_t PROGRAM_MAGIC = 0x4E595841u;
const int RECORD_INTEGERS = 112;
const int CHECKSUM_FIELD = 111;
const int CHECKSUM_COLUMNS = 8;
const int CONSTANT_INTEGERS = 4;
const int MAPS = 3;
const int MAX_FOLD_DISTANCE = 63;
const int MAX_WINDOW_TAPS = 9;
const int TABLE_ENTRIES = 256;
const int PLACE_LANE_BITS = 6;
const int MOST_PLACE_WORDS = 512;

// Integers of the program header.
enum {
  HEADER_MAGIC = 0,
  HEADER_VERSION = 1,
  HEADER_OVERLAY = 2,
  HEADER_PHASES = 3,
  HEADER_PROGRAM_WORDS = 4,
  HEADER_FIRST_SET_WORDS = 5,
};

// What a phase does with the activations that enter the lanes. 0 is left out, so that cleared
enum {
  OPCODE_CONVOLUTION = 1,
  OPCODE_DEPTHWISE = 2,
  OPCODE_SUM = 3,
  OPCODE_MAXIMUM = 4,
  OPCODE_AVERAGE = 5,
};

// Integers per lane and group in a phase's constants.
enum {
  CONSTANT_BIAS = 0,
  CONSTANT_MULTIPLIER = 1,
  CONSTANT_SHIFT = 2,
  CONSTANT_SPARE = 3,
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

// A phase. docs/descriptor.md has units and ranges, and what a phase computes.
struct phase_t {
  ap_uint<3> opcode;                    // what the phase does
  ap_uint<1> tables;                    // whether its set begins with tables
  ap_uint<8> groups;                    // groups of filters; a group fills the lanes
  ap_uint<16> vectors;                  // weight vectors of its first pass
  ap_uint<31> set_offset;               // where its set is
  ap_uint<24> set_words;                // tables, constants and places of all groups, weights of the first pass
  ap_uint<12> passes;                   // parts of the taps whose weights are on chip at a time
  ap_uint<16> last_pass_vectors;        // weight vectors of the last pass
  ap_uint<31> weights_offset;           // where the weights of all passes are
  ap_uint<24> weights_words;            // weights of all passes
  ap_uint<24> first_pass_words;         // weights of the first pass
  ap_uint<16> layer;                    // layers that are finished when the phase is
  ap_uint<1> whole_batch;               // whether the phase computes all images; otherwise one
  ap_uint<12> segment_phases;           // phases of the segment that ends here, which runs image by image; 0: none ends
  ap_uint<24> next_set_words;           // the set of the phase behind this one; 0: there is none
  ap_uint<24> again_set_words;          // the set of the segment's first phase, if it ends here
  ap_uint<1> source_loaded;             // whether the input comes from memory; otherwise it is on chip
  ap_uint<1> source_ahead;              // whether it does so for the first image only: later ones are loaded ahead
  ap_uint<31> source_offset;            // where the input is
  ap_uint<31> source_image_words;       // size of the input
  ap_uint<1> residual_loaded;           // whether the residual operand comes from memory
  ap_uint<31> residual_offset;          // where the residual operand is
  ap_uint<31> residual_image_words;     // size of the residual operand
  ap_uint<1> destination_stored;        // whether the output goes to memory
  ap_uint<31> destination_offset;       // where the output goes
  ap_uint<31> destination_image_words;  // size of the output
  ap_uint<12> destination_first;        // first word of each pixel that is stored
  ap_uint<16> ahead_words;              // words of the next image that are loaded meanwhile
  ap_uint<31> ahead_offset;             // where they are
  ap_uint<31> ahead_image_words;        // size of the map they are of
  ap_uint<2> source_map;                // memory of the input
  ap_uint<16> source_base;              // its first word
  ap_uint<16> source_half;              // from a tile to the next, of two
  ap_uint<2> residual_map;              // memory of the residual operand
  ap_uint<16> residual_base;            // its first word
  ap_uint<16> residual_half;            // from a tile to the next, of two
  ap_uint<2> destination_map;           // memory of the output
  ap_uint<16> destination_base;         // its first word
  ap_uint<16> destination_half;         // from a tile to the next, of two
  ap_uint<16> outgoing_base;            // first word that is stored
  ap_uint<2> ahead_map;                 // memory of what is loaded ahead
  ap_uint<16> ahead_base;               // its first word
  ap_uint<16> tiles;                    // tiles of an image
  ap_uint<16> tile_rows;                // output rows of a tile
  ap_uint<16> last_tile_rows;           // output rows of the last tile
  ap_uint<16> tile_stride;              // from a tile's first input row to the next tile's
  ap_uint<16> tile_span;                // input rows that a tile sees, less one
  ap_uint<16> last_tile_span;           // input rows that the last tile takes in, less one
  ap_uint<15> input_rows;               // height of the input
  ap_uint<12> input_columns;            // width of the input
  ap_uint<16> input_row_words;          // a row of the input
  ap_uint<12> padding_top;              // padding above the input
  ap_uint<12> padding_left;             // padding left of the input
  ap_uint<16> padding_left_words;       // padding left of the input
  ap_uint<12> stride_rows;              // from an output row to the next
  ap_uint<12> stride_columns;           // from an output column to the next
  ap_uint<16> stride_row_words;         // from an output row's windows to the next row's
  ap_uint<16> stride_column_words;      // from an output column's window to the next
  ap_uint<16> kernel_rows;              // height of the kernel
  ap_uint<12> kernel_columns;           // width of the kernel
  ap_uint<12> tap_words;                // words of a kernel position that are taps of their own
  ap_uint<12> kernel_row_step;          // from a kernel row to the next
  ap_uint<12> kernel_column_step;       // from a kernel column to the next
  ap_uint<16> kernel_row_words;         // from a kernel row to the next
  ap_uint<16> kernel_column_words;      // from a kernel column to the next
  ap_uint<16> pass_taps;                // taps of a pass
  ap_uint<16> last_pass_taps;           // taps of the last pass
  ap_uint<16> fresh_rows;               // kernel rows that a window moving down a row reads
  ap_uint<16> fresh_taps;               // taps that a window moving down a row reads
  ap_uint<8> fold_channels;             // channels of each tap, where a word takes several taps; 0: it does not
  ap_uint<8> fold_columns;              // kernel columns that lie side by side in a word
  ap_uint<12> fold_row_step;            // from a kernel row in a word to the next
  ap_uint<12> fold_column_step;         // from a kernel column in a word to the next
  ap_uint<16> fold_row_words;           // from a kernel row in a word to the next
  ap_uint<16> fold_column_words;        // from a kernel column in a word to the next
  ap_uint<12> output_columns;           // width of the output
  ap_uint<16> output_row_words;         // a row of the output, all channels
  ap_uint<12> output_pixel_words;       // a pixel of the output, all channels
  ap_uint<12> block_word;               // first word of each pixel that the phase computes
  ap_uint<16> pixel_step;               // from an output pixel on chip to the next
  ap_uint<16> row_step;                 // from an output row on chip to the next
  ap_uint<12> store_pixel_words;        // words of each pixel that are stored
  ap_uint<16> store_row_words;          // words of each row that are stored
  ap_uint<24> first_row_steps;          // steps that a tile's first row takes in a pass
  ap_uint<24> row_steps;                // steps that each other row takes
  ap_uint<24> last_pass_row_steps;      // steps that a row takes in the last pass
  ap_uint<12> incoming_pace;            // steps from a loaded word to the next
  ap_uint<12> outgoing_pace;            // steps from a stored word to the next
  ap_uint<12> set_pace;                 // steps from a word of the next set to the one after it
  ap_uint<1> has_residual;              // whether the residual operand is added
  ap_int<8> source_zero_point;          // zero point of the input
  ap_int<8> pre_add_zero_point;         // zero point of what the lanes compute
  ap_int<8> pre_add_low;                // smallest value that leaves the lanes
  ap_int<8> pre_add_high;               // largest value that leaves the lanes
  ap_int<8> destination_zero_point;     // zero point of a sum of two maps
  ap_int<8> clamp_low;                  // smallest sum of two maps
  ap_int<8> clamp_high;                 // largest sum of two maps
  ap_uint<31> destination_multiplier;   // factor of a sum of two maps
  ap_int<6> destination_shift;          // that factor's shift: left where positive
};

// Places of the fields among a descriptor's integers.
enum {
  FIELD_OPCODE = 0,
  FIELD_TABLES = 1,
  FIELD_GROUPS = 2,
  FIELD_VECTORS = 3,
  FIELD_SET_OFFSET = 4,
  FIELD_SET_WORDS = 5,
  FIELD_PASSES = 6,
  FIELD_LAST_PASS_VECTORS = 7,
  FIELD_WEIGHTS_OFFSET = 8,
  FIELD_WEIGHTS_WORDS = 9,
  FIELD_FIRST_PASS_WORDS = 10,
  FIELD_LAYER = 11,
  FIELD_WHOLE_BATCH = 12,
  FIELD_SEGMENT_PHASES = 13,
  FIELD_NEXT_SET_WORDS = 14,
  FIELD_AGAIN_SET_WORDS = 15,
  FIELD_SOURCE_LOADED = 16,
  FIELD_SOURCE_AHEAD = 17,
  FIELD_SOURCE_OFFSET = 18,
  FIELD_SOURCE_IMAGE_WORDS = 19,
  FIELD_RESIDUAL_LOADED = 20,
  FIELD_RESIDUAL_OFFSET = 21,
  FIELD_RESIDUAL_IMAGE_WORDS = 22,
  FIELD_DESTINATION_STORED = 23,
  FIELD_DESTINATION_OFFSET = 24,
  FIELD_DESTINATION_IMAGE_WORDS = 25,
  FIELD_DESTINATION_FIRST = 26,
  FIELD_AHEAD_WORDS = 27,
  FIELD_AHEAD_OFFSET = 28,
  FIELD_AHEAD_IMAGE_WORDS = 29,
  FIELD_SOURCE_MAP = 30,
  FIELD_SOURCE_BASE = 31,
  FIELD_SOURCE_HALF = 32,
  FIELD_RESIDUAL_MAP = 33,
  FIELD_RESIDUAL_BASE = 34,
  FIELD_RESIDUAL_HALF = 35,
  FIELD_DESTINATION_MAP = 36,
  FIELD_DESTINATION_BASE = 37,
  FIELD_DESTINATION_HALF = 38,
  FIELD_OUTGOING_BASE = 39,
  FIELD_AHEAD_MAP = 40,
  FIELD_AHEAD_BASE = 41,
  FIELD_TILES = 42,
  FIELD_TILE_ROWS = 43,
  FIELD_LAST_TILE_ROWS = 44,
  FIELD_TILE_STRIDE = 45,
  FIELD_TILE_SPAN = 46,
  FIELD_LAST_TILE_SPAN = 47,
  FIELD_INPUT_ROWS = 48,
  FIELD_INPUT_COLUMNS = 49,
  FIELD_INPUT_ROW_WORDS = 50,
  FIELD_PADDING_TOP = 51,
  FIELD_PADDING_LEFT = 52,
  FIELD_PADDING_LEFT_WORDS = 53,
  FIELD_STRIDE_ROWS = 54,
  FIELD_STRIDE_COLUMNS = 55,
  FIELD_STRIDE_ROW_WORDS = 56,
  FIELD_STRIDE_COLUMN_WORDS = 57,
  FIELD_KERNEL_ROWS = 58,
  FIELD_KERNEL_COLUMNS = 59,
  FIELD_TAP_WORDS = 60,
  FIELD_KERNEL_ROW_STEP = 61,
  FIELD_KERNEL_COLUMN_STEP = 62,
  FIELD_KERNEL_ROW_WORDS = 63,
  FIELD_KERNEL_COLUMN_WORDS = 64,
  FIELD_PASS_TAPS = 65,
  FIELD_LAST_PASS_TAPS = 66,
  FIELD_FRESH_ROWS = 67,
  FIELD_FRESH_TAPS = 68,
  FIELD_FOLD_CHANNELS = 69,
  FIELD_FOLD_COLUMNS = 70,
  FIELD_FOLD_ROW_STEP = 71,
  FIELD_FOLD_COLUMN_STEP = 72,
  FIELD_FOLD_ROW_WORDS = 73,
  FIELD_FOLD_COLUMN_WORDS = 74,
  FIELD_OUTPUT_COLUMNS = 75,
  FIELD_OUTPUT_ROW_WORDS = 76,
  FIELD_OUTPUT_PIXEL_WORDS = 77,
  FIELD_BLOCK_WORD = 78,
  FIELD_PIXEL_STEP = 79,
  FIELD_ROW_STEP = 80,
  FIELD_STORE_PIXEL_WORDS = 81,
  FIELD_STORE_ROW_WORDS = 82,
  FIELD_FIRST_ROW_STEPS = 83,
  FIELD_ROW_STEPS = 84,
  FIELD_LAST_PASS_ROW_STEPS = 85,
  FIELD_INCOMING_PACE = 86,
  FIELD_OUTGOING_PACE = 87,
  FIELD_SET_PACE = 88,
  FIELD_HAS_RESIDUAL = 89,
  FIELD_SOURCE_ZERO_POINT = 90,
  FIELD_PRE_ADD_ZERO_POINT = 91,
  FIELD_PRE_ADD_LOW = 92,
  FIELD_PRE_ADD_HIGH = 93,
  FIELD_DESTINATION_ZERO_POINT = 94,
  FIELD_CLAMP_LOW = 95,
  FIELD_CLAMP_HIGH = 96,
  FIELD_DESTINATION_MULTIPLIER = 97,
  FIELD_DESTINATION_SHIFT = 98,
};

// The phase that a program's integers describe.
inline phase_t phase_from(const std::int32_t record[RECORD_INTEGERS]) {
  AXYNQ_INLINE
  phase_t phase;
  phase.opcode = record[0];
  phase.tables = record[1];
  phase.groups = record[2];
  phase.vectors = record[3];
  phase.set_offset = record[4];
  phase.set_words = record[5];
  phase.passes = record[6];
  phase.last_pass_vectors = record[7];
  phase.weights_offset = record[8];
  phase.weights_words = record[9];
  phase.first_pass_words = record[10];
  phase.layer = record[11];
  phase.whole_batch = record[12];
  phase.segment_phases = record[13];
  phase.next_set_words = record[14];
  phase.again_set_words = record[15];
  phase.source_loaded = record[16];
  phase.source_ahead = record[17];
  phase.source_offset = record[18];
  phase.source_image_words = record[19];
  phase.residual_loaded = record[20];
  phase.residual_offset = record[21];
  phase.residual_image_words = record[22];
  phase.destination_stored = record[23];
  phase.destination_offset = record[24];
  phase.destination_image_words = record[25];
  phase.destination_first = record[26];
  phase.ahead_words = record[27];
  phase.ahead_offset = record[28];
  phase.ahead_image_words = record[29];
  phase.source_map = record[30];
  phase.source_base = record[31];
  phase.source_half = record[32];
  phase.residual_map = record[33];
  phase.residual_base = record[34];
  phase.residual_half = record[35];
  phase.destination_map = record[36];
  phase.destination_base = record[37];
  phase.destination_half = record[38];
  phase.outgoing_base = record[39];
  phase.ahead_map = record[40];
  phase.ahead_base = record[41];
  phase.tiles = record[42];
  phase.tile_rows = record[43];
  phase.last_tile_rows = record[44];
  phase.tile_stride = record[45];
  phase.tile_span = record[46];
  phase.last_tile_span = record[47];
  phase.input_rows = record[48];
  phase.input_columns = record[49];
  phase.input_row_words = record[50];
  phase.padding_top = record[51];
  phase.padding_left = record[52];
  phase.padding_left_words = record[53];
  phase.stride_rows = record[54];
  phase.stride_columns = record[55];
  phase.stride_row_words = record[56];
  phase.stride_column_words = record[57];
  phase.kernel_rows = record[58];
  phase.kernel_columns = record[59];
  phase.tap_words = record[60];
  phase.kernel_row_step = record[61];
  phase.kernel_column_step = record[62];
  phase.kernel_row_words = record[63];
  phase.kernel_column_words = record[64];
  phase.pass_taps = record[65];
  phase.last_pass_taps = record[66];
  phase.fresh_rows = record[67];
  phase.fresh_taps = record[68];
  phase.fold_channels = record[69];
  phase.fold_columns = record[70];
  phase.fold_row_step = record[71];
  phase.fold_column_step = record[72];
  phase.fold_row_words = record[73];
  phase.fold_column_words = record[74];
  phase.output_columns = record[75];
  phase.output_row_words = record[76];
  phase.output_pixel_words = record[77];
  phase.block_word = record[78];
  phase.pixel_step = record[79];
  phase.row_step = record[80];
  phase.store_pixel_words = record[81];
  phase.store_row_words = record[82];
  phase.first_row_steps = record[83];
  phase.row_steps = record[84];
  phase.last_pass_row_steps = record[85];
  phase.incoming_pace = record[86];
  phase.outgoing_pace = record[87];
  phase.set_pace = record[88];
  phase.has_residual = record[89];
  phase.source_zero_point = record[90];
  phase.pre_add_zero_point = record[91];
  phase.pre_add_low = record[92];
  phase.pre_add_high = record[93];
  phase.destination_zero_point = record[94];
  phase.clamp_low = record[95];
  phase.clamp_high = record[96];
  phase.destination_multiplier = record[97];
  phase.destination_shift = record[98];
  return phase;
}

}  // namespace axynq

#endif
