// A convolution of one block of images, row by row.
#pragma once

#include "lookup.hpp"
#include "planes.hpp"

namespace axynq {

// Where a convolution's results go: requantised to the output tensor, or as sums to an array
// [channels, rows, columns, images].
struct Target {
  int8_t *tensor;
  int32_t *accumulators;
  int64_t images;  // of the array
  int64_t first;   // image of this block
  int count;       // images of this block that exist
};

inline int64_t round_up(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Scratch memory, in the order in which it is used.
struct Scratch {
  int slots;           // rows that are kept
  int64_t planes;      // bytes of a row of all planes
  int64_t raw;         // of a row of interleaved bytes, where planes are made of them
  int64_t bytes;       // of a row of all parts that are looked up
  int64_t looked_up;   // of a row of sums
  int64_t behind = 0;  // what tiles read behind the last row

  explicit Scratch(const Convolution &c) : slots(spanned_rows(c)) {
    const int columns = strip_columns(c);
    planes = round_up(plane_row_bytes(c, columns) * c.planes);
    raw = c.planes > 1 ? round_up(plane_row_bytes(c, columns)) : 0;
    bytes = c.lookups ? PARTS * byte_row_bytes(c, columns) : 0;
    looked_up = c.lookups ? int64_t(c.output_channels) * columns * BLOCK * 4 : 0;
    if (instructions::TILES) behind = TILE_GROUPS * BLOCK;
  }
  // Rows of padding come behind those of the ring.
  int64_t total() const { return (slots + 1) * (planes + bytes) + raw + looked_up + behind; }
};

inline int64_t scratch_bytes(const Convolution &c) { return Scratch(c).total(); }

namespace detail {

inline void finish(const Convolution &c, const instructions::Sums &sums, int filter, int row,
                   int column, const Target &target) {
  const int64_t place = (int64_t(filter) * c.output_rows + row) * c.output_columns + column;
  if (target.tensor) {
    const Requantisation r = {c.multiplier[filter], c.shift[filter], c.output_zero_point,
                              c.clamp_low,          c.clamp_high,    c.real[filter]};
    instructions::requantise(sums, r, target.tensor + place * BLOCK);
  }
  if (target.accumulators) {
    int32_t *to = target.accumulators + place * target.images + target.first;
    if (target.count == BLOCK) {
      sums.store_in_order(to);
    } else {
      int32_t values[BLOCK];
      sums.store_in_order(values);
      std::memcpy(to, values, size_t(target.count) * sizeof(int32_t));
    }
  }
}

// A filter's sums as they come from the products. `looked_up` are those of the strip.
inline void finish_products(const Convolution &c, const Strip &strip, const FilterBlock &block,
                            int f, instructions::Sums &sums, const int32_t *looked_up, int row,
                            int x, const Target &target) {
  const int filter = block.filter[f];
  if (block.final_shift) sums.shift_left(block.final_shift);
  sums.add(c.bias[filter]);
  if (looked_up) sums.add(looked_up + (int64_t(filter) * strip.columns + x) * BLOCK);
  finish(c, sums, filter, row, strip.first + x, target);
}

// Where the segments of a block begin at an output position, and how far it is to the next.
struct Rows {
  std::vector<const uint8_t *> pointers;
  std::vector<int64_t> steps;
  int64_t quarter;  // bytes from a quarter of the images to the next

  void advance(int positions) {
    for (size_t s = 0; s < pointers.size(); ++s) pointers[s] += positions * steps[s];
  }
};

template <int FILTERS>
inline void dot_row(const Convolution &c, const Strip &strip, const FilterBlock &block, Rows &rows,
                    const int32_t *looked_up, int row, const Target &target) {
  for (int x = 0; x < strip.columns; ++x) {
    instructions::Sums sums[FILTERS];
    instructions::dot_products<FILTERS>(block, rows.pointers.data(), rows.quarter, sums);
    for (int f = 0; f < FILTERS; ++f)
      finish_products(c, strip, block, f, sums[f], looked_up, row, x, target);
    rows.advance(1);
  }
}

inline void tile_row(const Convolution &c, const Strip &strip, const FilterBlock &block, Rows &rows,
                     const int32_t *looked_up, int row, const Target &target) {
  alignas(64) int32_t products[TILE_POSITIONS][MOST_FILTERS][BLOCK];
  for (int x = 0; x < strip.columns; x += TILE_POSITIONS) {
    const int positions = std::min(strip.columns - x, TILE_POSITIONS);
    instructions::tile_products(block, rows.pointers.data(), rows.steps.data(), positions,
                                rows.quarter, products[0][0]);
    for (int f = 0; f < block.filters; ++f)
      for (int p = 0; p < positions; ++p) {
        instructions::Sums sums;
        sums.load(products[p][f]);
        finish_products(c, strip, block, f, sums, looked_up, row, x + p, target);
      }
    rows.advance(TILE_POSITIONS);
  }
}

inline void product_row(const Convolution &c, const Strip &strip, const FilterBlock &block,
                        Rows &rows, const int32_t *looked_up, int row, const Target &target) {
  if (block.tiles) return tile_row(c, strip, block, rows, looked_up, row, target);
  switch (block.filters) {
    case 1:
      return dot_row<1>(c, strip, block, rows, looked_up, row, target);
    case 2:
      return dot_row<2>(c, strip, block, rows, looked_up, row, target);
    case 3:
      return dot_row<3>(c, strip, block, rows, looked_up, row, target);
    case 4:
      return dot_row<4>(c, strip, block, rows, looked_up, row, target);
    case 5:
      return dot_row<5>(c, strip, block, rows, looked_up, row, target);
    default:
      return dot_row<6>(c, strip, block, rows, looked_up, row, target);
  }
}

inline void convolve_strip(const Convolution &c, const Strip &strip, const int8_t *input,
                           const Target &target, uint8_t *scratch) {
  const Scratch sizes(c);
  Ring planes(sizes.slots, sizes.planes, scratch);
  uint8_t *padding_planes = scratch + sizes.slots * sizes.planes;
  uint8_t *raw = padding_planes + sizes.planes;
  fill_plane_rows(c, strip, input, -1, raw, padding_planes);
  scratch = raw + sizes.raw;
  Ring bytes(sizes.slots, sizes.bytes, scratch);
  uint8_t *padding_bytes = scratch + sizes.slots * sizes.bytes;
  if (c.lookups) fill_byte_rows(c, strip, input, -1, padding_bytes);
  int32_t *looked_up =
      c.lookups ? reinterpret_cast<int32_t *>(padding_bytes + sizes.bytes) : nullptr;

  const int64_t pixel_bytes = int64_t(c.row_groups) * BLOCK;
  const int positions = c.flattened ? strip.columns : seen_columns(c, strip.columns);
  const int position_step = c.flattened ? 1 : c.stride_columns;
  std::vector<int64_t> stack_bytes;   // of one position
  std::vector<int64_t> stack_begins;  // within a row
  for (int k = 0; k < c.stacks; ++k) {
    stack_begins.push_back(k ? stack_begins.back() + positions * stack_bytes.back() : 0);
    stack_bytes.push_back(c.stack_planes[k] * pixel_bytes);
  }

  std::vector<const uint8_t *> plane_rows(size_t(c.kernel_rows)), byte_rows(size_t(c.kernel_rows));
  Rows rows = {{}, {}, plane_row_bytes(c, strip.columns) / 4 * c.planes};
  for (int row = 0; row < c.output_rows; ++row) {
    for (int k = 0; k < c.kernel_rows; ++k) {
      const int y = row * c.stride_rows - c.padding_top + k * c.dilation_rows;
      const bool inside = y >= 0 && y < c.input_rows;
      plane_rows[size_t(k)] = inside ? planes.slot(y) : padding_planes;
      byte_rows[size_t(k)] = inside ? bytes.slot(y) : padding_bytes;
      if (!inside) continue;
      if (planes.claim(y)) {
        fill_plane_rows(c, strip, input, y, raw, planes.slot(y));
        if (c.lookups) fill_byte_rows(c, strip, input, y, bytes.slot(y));
      }
    }

    if (looked_up)
      look_up_row(c, strip.columns, byte_rows, byte_row_bytes(c, strip.columns), looked_up);

    for (int b = 0; b < c.blocks; ++b) {
      const FilterBlock &block = c.block[b];
      rows.pointers.resize(size_t(block.segments));
      rows.steps.resize(size_t(block.segments));
      for (int s = 0; s < block.segments; ++s) {
        const Segment &segment = block.segment[s];
        const size_t stack = size_t(segment.stack);
        rows.pointers[size_t(s)] = plane_rows[size_t(segment.kernel_row)] + stack_begins[stack] +
                                   int64_t(segment.offset) * BLOCK;
        rows.steps[size_t(s)] = position_step * stack_bytes[stack];
      }
      product_row(c, strip, block, rows, looked_up, row, target);
    }
  }
}

}  // namespace detail

inline void convolve(const Convolution &c, const int8_t *input, const Target &target,
                     uint8_t *scratch) {
  const int columns = strip_columns(c);
  for (int first = 0; first < c.output_columns; first += columns) {
    const Strip strip = {first, std::min(columns, c.output_columns - first)};
    detail::convolve_strip(c, strip, input, target, scratch);
  }
}

}  // namespace axynq
