// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// What Python describes and the kernel runs. Plain structures; the mirror is engine/abi.py,
// and the kernel compiles only where both say the same.
//
// Many images are computed in blocks of 64. Within a block a tensor is planar: for each channel,
// row and column the 64 images' bytes lie side by side, so that every operation is a vector
// operation whatever the shape of the network. A few are computed one by one: the same with one
// byte for each position, so that 64 neighbouring positions are a vector.
#pragma once

#include <cstdint>

namespace axynq {

constexpr int BLOCK = 64;            // images, and bytes of a vector
constexpr int VECTOR_FILTERS = 6;    // computed together, in registers
constexpr int MOST_FILTERS = 16;     // computed together, in tiles
constexpr int LOOKUP_CHANNELS = 32;  // whose looked-up bytes the nearest cache holds
constexpr int TILE_GROUPS = 16;      // of four taps, multiplied at once in tiles
constexpr int TILE_POSITIONS = 4;    // neighbouring output positions, computed together in tiles
constexpr int SEGMENT_TILES = 8;     // of weights, in a segment at most
constexpr int CHUNK_TILES = 20;      // of weights, used before others, at most

struct Tensor {
  int32_t rows, columns, channels;
  int32_t unused;
  int64_t offset;  // of the planar tensor within a thread's arena, in bytes for each image
  // The planar tensor where it is the same for all images, of a block and of one image, or null.
  // Behind the latter, as behind one image's tensors in the arena, come BLOCK bytes of anything.
  const int8_t *constant, *single_constant;
};

// What of an activation's byte is looked up.
enum Part : int32_t { WHOLE_BYTE, LOW_HALF, HIGH_HALF, SEVEN_BITS };
constexpr int ROW_PARTS = 3;  // seven bits are looked up by the whole byte

// A run of groups (four taps each) whose activations are contiguous.
struct Segment {
  int32_t stack, kernel_row;
  int32_t offset;  // groups from the first of the output position in that stack and row
  int32_t groups;
  int32_t shift;  // accumulators are shifted left by this before the segment
  int32_t part;   // WHOLE_BYTE: products of bytes; halves: look-ups, in sets that have them
};

// Filters that are computed together, with the segments that are not zero for all of them.
struct FilterBlock {
  int32_t filters;  // 1 to MOST_FILTERS in tiles, to VECTOR_FILTERS otherwise
  int32_t segments;
  int32_t filter[MOST_FILTERS];  // output channels
  int32_t final_shift;
  int32_t tiles;           // whether they are computed in tiles
  int32_t narrow, unused;  // whether products of two neighbouring taps always fit 16 bits
  const Segment *segment;
  // For each segment and group: `filters` times four bytes; where the path has no byte dot product
  // and the block is not narrow, times four words, in the order 0, 2, 1, 3. In tiles, for each
  // segment and TILE_GROUPS groups or the rest of them: MOST_FILTERS rows of TILE_GROUPS times four
  // bytes, zeros where nothing is.
  const int8_t *weights;
  // Of segments that look up, for each group: `filters` times four tables of 16 bytes.
  const uint8_t *tables;
};

// A weight whose product is looked up: what the table adds at the tap's activation.
struct LookupTap {
  int32_t kernel_row;
  int32_t offset;  // bytes from the first of the output position in that row
  int32_t table;   // where its table begins
  int32_t flush;   // 0, 1: bytes to 16 bits before the tap, 2: 16 bits to 32 bits too
};

// The looked-up part of one filter: sums of several scales, for some channels.
struct LookupFilter {
  int32_t filter;
  int32_t channels;  // which LOOKUP_CHANNELS of them
  int32_t unused;
  int32_t shift;  // the sum is shifted left by this
  int32_t taps;
  int32_t part;
  const LookupTap *tap;
};

// A factor of a requantisation as the sum of two floats; zeros where whole numbers must do.
struct RealFactor {
  float high, low;
};

// A table of bytes that is the sum, modulo 256, of one of low and one of high halves.
struct HalfTables {
  int32_t exist, unused[3];
  uint8_t low[16], high[16];
};

struct Convolution {
  int32_t input_rows, input_columns, input_channels;
  int32_t first_channel;  // of the input tensor; depthwise layers are one convolution per channel
  int32_t channels;       // seen by each filter
  int32_t output_rows, output_columns, output_channels;
  int32_t kernel_rows, kernel_columns;
  int32_t stride_rows, stride_columns, dilation_rows, dilation_columns;
  int32_t padding_top, padding_left;
  int32_t pad_value;   // the zero point
  int32_t flattened;   // groups run over columns and channels of a kernel row, not channels
  int32_t row_groups;  // groups of one output position (flattened) or one pixel in a row
  // Planes of one exponent are a stack: they lie side by side within a pixel (or, flattened, within
  // an output position), as if they were more channels.
  int32_t planes, stacks;
  int32_t strip_columns;   // of the output, computed together: their rows stay in the caches
  int32_t stack_by_stack;  // rows of all stacks would not: they are made anew for each output row
  int32_t blocks, lookups;
  const uint8_t *plane_tables;  // [planes][256] by the activation's byte, stack by stack
  // [planes]: tables of 16 by the low and by the high half of a byte, whose sum modulo 256 the
  // plane's table is, or zeros.
  const HalfTables *plane_halves;
  const int32_t *stack_planes;  // [stacks]: how many planes each has
  const FilterBlock *block;
  const LookupFilter *lookup;
  const uint8_t *lookup_tables;  // of 256 by the activation's byte, or 16 by half of it
  const int32_t *bias;           // [output channels]
  const int32_t *multiplier;     // [output channels], requantisation
  const int32_t *shift;          // [output channels]
  const RealFactor *real;        // [output channels]
  int32_t output_zero_point, clamp_low, clamp_high;
  int32_t lookup_parts;  // bit by Part, seven bits as the whole byte: which are looked up
};

// Neighbouring positions of an output that come from neighbouring positions.
struct Run {
  int32_t source;  // a movement's tensor, -1: its filling; a map's table
  int32_t first;   // position
  int32_t count;
};

// Neighbouring positions of an output that are made of pairs of values.
struct Pairing {
  int32_t first, second;            // positions of the operands
  int32_t first_step, second_step;  // 1: neighbours, 0: the same again
  int32_t count;
};

// A row or column between two of the input: what it takes of either, in 1024ths.
struct Between {
  int32_t lower, upper;
  int32_t lower_weight, upper_weight;
};

constexpr int LINEAR_LOW_BITS = 14;  // of the lower parts of a sum's factors

enum Kind : int32_t {
  CONVOLUTION,
  MOVE,
  MAP,
  ADD,
  SUBTRACT,
  MULTIPLY,
  MAXIMUM,
  MINIMUM,
  PRELU,
  MAX_POOL,
  AVERAGE_POOL,
  REDUCE,
  RESIZE_BILINEAR,
  SOFTMAX,
};

struct Operator {
  int32_t kind;
  int32_t input, second, output;  // tensors; second: the other operand of a pair
  int32_t convolutions;           // of one layer
  int32_t window_rows, window_columns, stride_rows, stride_columns, padding_top, padding_left;
  int32_t clamp_low, clamp_high;
  int32_t input_zero_point, second_zero_point, output_zero_point;
  // Of sums and differences: first, second, result. Of products: the result's. Of prelu: where the
  // first is not negative, and where it is.
  int32_t multiplier[3], shift[3];
  // Of sums and differences that are one linear function of their operands (linear_sums.py): upper
  // parts of both factors, lower parts; constants of both. A shift of 0: they are none.
  int16_t linear[4];
  int32_t linear_constant[2];
  int32_t linear_shift, unused;
  int32_t runs;   // or pairings
  int32_t terms;  // of a sum
  const Convolution *convolution;
  const Convolution *exact;     // the same layer with exact multipliers, for its accumulators
  int32_t *accumulators;        // [channels, rows, columns, images], or null
  int32_t *exact_accumulators;  // likewise
  const Run *run;               // of movements and maps
  const Pairing *pairing;
  // Of a map [tables][256] by the activation's byte; of a sum of few terms, or null, what becomes
  // of each sum from the smallest on.
  const uint8_t *tables;
  const int32_t *first;         // [positions]: where the terms of a sum begin
  const int32_t *term;          // [terms]: positions from there
  const int32_t *thresholds;    // [255]: the smallest sums that become -127 .. 127, of many terms
  const Between *row;           // [rows] of a resized map
  const Between *column;        // [columns]
  const int32_t *exponentials;  // [256] of a softmax, by how far a value is below the largest
};

// A tensor that comes from the caller or goes there: images [rows, columns, channels], or blocks
// [channels, rows, columns, 64] of them.
struct Port {
  int8_t *images;  // null: nobody wants it
  int32_t tensor;
  int32_t blocked;
};

// Values that become the real numbers they stand for.
struct Reals {
  const int8_t *from;
  float *to;
  int64_t count;
  float scale;
  int32_t zero_point;
};

struct Network {
  int32_t tensors, operators, inputs;
  int32_t unused;
  int64_t arena_bytes;           // for each image
  int64_t scratch_bytes;         // rows of planes and sums
  int64_t single_scratch_bytes;  // likewise, of one image
  const Tensor *tensor;
  const Operator *op;
  const Port *input;    // [inputs]
  const Port *capture;  // [tensors]: where each goes as soon as it is there
};

}  // namespace axynq
