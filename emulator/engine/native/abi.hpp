// What Python describes and the kernel runs. Plain structures; the mirror is engine/abi.py,
// and the kernel compiles only where both say the same.
//
// Images are computed in blocks of 64. Within a block a tensor is planar: for each channel, row and
// column the 64 images' bytes lie side by side, so that every operation is a vector operation
// whatever the shape of the network.
#pragma once

#include <cstdint>

namespace axynq {

constexpr int BLOCK = 64;        // images
constexpr int MOST_FILTERS = 6;  // computed together

struct Tensor {
  int32_t rows, columns, channels;
  int32_t unused;
  int64_t offset;  // of the planar tensor within a thread's arena, in bytes
};

// A run of groups (four taps each) whose activations are contiguous.
struct Segment {
  int32_t plane, kernel_row;
  int32_t offset;  // groups from the first of the output position in that row
  int32_t groups;
  int32_t shift;  // accumulators are shifted left by this before the segment
};

// Filters that are computed together, with the segments that are not zero for all of them.
struct FilterBlock {
  int32_t filters;  // 1 to MOST_FILTERS
  int32_t segments;
  int32_t filter[MOST_FILTERS];  // output channels
  int32_t final_shift;
  int32_t unused;
  const Segment *segment;
  // For each segment and group: `filters` times four bytes; where the path has no byte dot product,
  // times four words, in the order 0, 2, 1, 3.
  const int8_t *weights;
};

// A weight whose product is looked up: what the table adds at the tap's activation.
struct LookupTap {
  int32_t kernel_row, kernel_column, channel;
  int32_t table;
  int32_t flush;  // 0, 1: bytes to 16 bits before the tap, 2: 16 bits to 32 bits too
};

// What of an activation's byte is looked up.
enum Part : int32_t { WHOLE_BYTE, LOW_HALF, HIGH_HALF, PARTS };

// The looked-up part of one filter: sums of several scales.
struct LookupFilter {
  int32_t filter;
  int32_t shift;  // the sum is shifted left by this
  int32_t taps;
  int32_t part;
  const LookupTap *tap;
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
  int32_t planes;
  int32_t blocks, lookups;
  const uint8_t *plane_tables;  // [planes][256] by the activation's byte
  const FilterBlock *block;
  const LookupFilter *lookup;
  const uint8_t *lookup_tables;  // [tables][256] by the activation's byte, or half
  const int32_t *bias;           // [output channels]
  const int32_t *multiplier;     // [output channels], requantisation
  const int32_t *shift;          // [output channels]
  int32_t output_zero_point, clamp_low, clamp_high;
  int32_t lookup_parts;  // bit by Part: which are looked up
};

enum Kind : int32_t {
  CONVOLUTION,
  ADD,
  MAX_POOL,
  AVERAGE_POOL,
  MEAN,
  PAD,
  RESHAPE,
};

struct Operator {
  int32_t kind;
  int32_t input, residual, output;  // tensors; residual: an addition's other operand
  int32_t convolutions;             // of one layer
  int32_t window_rows, window_columns, stride_rows, stride_columns, padding_top, padding_left;
  int32_t clamp_low, clamp_high;
  int32_t input_zero_point, residual_zero_point, output_zero_point;
  int32_t multiplier[3], shift[3];  // input, residual, output
  const Convolution *convolution;
  const Convolution *exact;     // the same layer with exact multipliers, for its accumulators
  int32_t *accumulators;        // [channels, rows, columns, images], or null
  int32_t *exact_accumulators;  // likewise
};

struct Network {
  int32_t tensors, operators;
  int32_t input, output;
  int32_t blocked;  // input and output are [blocks, channels, rows, columns, 64], not images
  int32_t unused;
  int64_t arena_bytes;
  int64_t scratch_bytes;  // rows of planes and sums
  const Tensor *tensor;
  const Operator *op;
  int8_t *const *capture;  // by tensor: [images, rows, columns, channels], or null
};

}  // namespace axynq
