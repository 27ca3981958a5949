// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// A convolution of one block of images, row by row.
#pragma once

#include "lookup.hpp"
#include "planes.hpp"
#include "team.hpp"

namespace axynq {

// Where a convolution's results go: requantised to the output tensor, or as sums to an array
// [channels, rows, columns, images].
struct Target {
  int8_t *tensor;
  int32_t *accumulators;
  int64_t images;  // of the array
  int64_t first;   // image of this block
  int count;       // images of this block that exist
  Share share;     // of the rows
};

inline int64_t round_up(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Scratch memory, in the order in which it is used.
struct Scratch {
  int slots;           // rows that are kept
  int64_t planes;      // bytes of a row of all planes, or, stack by stack, of interleaved bytes
  int64_t raw;         // of a row of interleaved bytes, where all planes are made of them
  int64_t stack;       // stack by stack: of the rows of one stack that an output row needs
  int64_t bytes;       // of a row of all parts that are looked up
  int64_t looked_up;   // of a row of sums
  int64_t kept = 0;    // of a row of sums in tiles
  int64_t behind = 0;  // what tiles read behind the last row

  explicit Scratch(const Convolution &c) : slots(spanned_rows(c)) {
    const int columns = c.strip_columns;
    const int64_t plane = round_up(plane_row_bytes(c, columns));
    planes = c.stack_by_stack ? plane : plane * c.planes;
    raw = c.planes > 1 && !c.stack_by_stack ? plane : 0;
    int most = 0;
    for (int k = 0; k < c.stacks; ++k) most = std::max(most, c.stack_planes[k]);
    stack = c.stack_by_stack ? c.kernel_rows * most * plane : 0;
    bytes = c.lookups ? ROW_PARTS * byte_row_bytes(c, columns) : 0;
    looked_up = c.lookups ? int64_t(c.output_channels) * columns * BLOCK * 4 : 0;
    if (c.blocks && c.block[0].tiles) {
      kept = int64_t(c.blocks) * columns * MOST_FILTERS * BLOCK * 4;
      behind = TILE_GROUPS * BLOCK;
    }
  }
  // Rows of padding come behind those of the ring.
  int64_t total() const {
    return (slots + 1) * (planes + bytes) + raw + stack + looked_up + kept + behind;
  }
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

inline int tiles_of(const Segment &segment) {
  return (segment.groups + TILE_GROUPS - 1) / TILE_GROUPS;
}

// The chunks of a block, at least one: those of a stack are of about the same size.
inline std::vector<TileChunk> chunks_of(const FilterBlock &block) {
  std::vector<TileChunk> chunks;
  const int8_t *weights = block.weights;
  for (int first = 0, last = 0; first < block.segments; first = last) {
    const int stack = block.segment[first].stack;
    int tiles = 0;
    for (; last < block.segments && block.segment[last].stack == stack; ++last)
      tiles += tiles_of(block.segment[last]);
    const int parts = (tiles + CHUNK_TILES - 1) / CHUNK_TILES;
    for (int part = 0, s = first, before = 0; part < parts; ++part) {
      chunks.push_back({block.segment + s, 0, weights, stack, s == 0, block.segment[s].shift});
      const int end = tiles * (part + 1) / parts;  // of the part, in tiles
      for (; s < last && (before < end || part + 1 == parts); ++s) {
        const int own = tiles_of(block.segment[s]);
        if (before + own / 2 > end && part + 1 < parts && chunks.back().segments) break;
        before += own;
        ++chunks.back().segments;
        weights += own * TILE_GROUPS * 4 * MOST_FILTERS;
      }
      if (s == last) break;
    }
  }
  if (chunks.empty()) chunks.push_back({block.segment, 0, weights, 0, true, 0});
  return chunks;
}

// Where segments begin at the first output position of a strip, and how far it is to the next.
class Places {
 public:
  Places(const Convolution &c, const Strip &strip)
      : quarter_(plane_row_bytes(c, strip.columns) / 4 * c.planes) {
    const int64_t pixel_bytes = int64_t(c.row_groups) * BLOCK;
    const int positions = c.flattened ? strip.columns : seen_columns(c, strip.columns);
    int64_t begin = 0;
    for (int k = 0; k < c.stacks; ++k) {
      const int64_t bytes = c.stack_planes[k] * pixel_bytes;
      begins_.push_back(c.stack_by_stack ? 0 : begin);
      steps_.push_back((c.flattened ? 1 : c.stride_columns) * bytes);
      begin += positions * bytes;
    }
  }

  // For segments one after another. `kernel_rows`: where the rows are that the kernel spans.
  void of(const Segment *segment, int segments, const std::vector<const uint8_t *> &kernel_rows,
          Rows &rows) const {
    rows.pointers.resize(size_t(segments));
    rows.steps.resize(size_t(segments));
    rows.quarter = quarter_;
    for (size_t s = 0; s < size_t(segments); ++s) {
      const size_t stack = size_t(segment[s].stack);
      rows.pointers[s] = kernel_rows[size_t(segment[s].kernel_row)] + begins_[stack] +
                         int64_t(segment[s].offset) * BLOCK;
      rows.steps[s] = steps_[stack];
    }
  }

 private:
  int64_t quarter_;
  std::vector<int64_t> begins_, steps_;  // of stacks
};

// A row of blocks in tiles.
class TileRow {
 public:
  // `kept` holds the sums of blocks with several chunks, [block][column][filter][image].
  TileRow(const Convolution &c, const Strip &strip, const Places &places, int32_t *kept)
      : c_(c), strip_(strip), places_(places), kept_(kept) {
    for (int b = 0; b < c.blocks && c.block[b].tiles; ++b) chunks_.push_back(chunks_of(c.block[b]));
  }

  bool empty() const { return chunks_.empty(); }

  // What the chunks of one stack add; results as soon as they are complete.
  void add(int stack, const std::vector<const uint8_t *> &kernel_rows, int64_t quarter,
           const int32_t *looked_up, int row, const Target &target) {
    constexpr int SUMS = MOST_FILTERS * BLOCK;
    alignas(64) int32_t brief[TILE_POSITIONS * SUMS];
    for (size_t b = 0; b < chunks_.size(); ++b)
      for (const TileChunk &chunk : chunks_[b]) {
        if (chunk.stack != stack) continue;
        const FilterBlock &block = c_.block[b];
        places_.of(chunk.segment, chunk.segments, kernel_rows, rows_);
        for (int x = 0; x < strip_.columns; x += TILE_POSITIONS) {
          const int positions = std::min(strip_.columns - x, TILE_POSITIONS);
          int32_t *sums =
              chunks_[b].size() == 1 ? brief : kept_ + (int64_t(b) * strip_.columns + x) * SUMS;
          instructions::tile_products(chunk, rows_.pointers.data(), rows_.steps.data(), positions,
                                      quarter, sums);
          rows_.advance(TILE_POSITIONS);
          if (&chunk != &chunks_[b].back()) continue;
          for (int f = 0; f < block.filters; ++f)
            for (int p = 0; p < positions; ++p) {
              instructions::Sums own;
              own.load(sums + p * SUMS + f * BLOCK);
              finish_products(c_, strip_, block, f, own, looked_up, row, x + p, target);
            }
        }
      }
  }

 private:
  const Convolution &c_;
  const Strip &strip_;
  const Places &places_;
  Rows rows_;
  std::vector<std::vector<TileChunk>> chunks_;  // of blocks
  int32_t *kept_;
};

inline void product_row(const Convolution &c, const Strip &strip, const FilterBlock &block,
                        Rows &rows, const int32_t *looked_up, int row, const Target &target) {
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
  uint8_t *stack_rows = raw + sizes.raw;
  Ring bytes(sizes.slots, sizes.bytes, stack_rows + sizes.stack);
  uint8_t *padding_bytes = stack_rows + sizes.stack + sizes.slots * sizes.bytes;
  int32_t *looked_up =
      c.lookups ? reinterpret_cast<int32_t *>(padding_bytes + sizes.bytes) : nullptr;
  int32_t *kept = reinterpret_cast<int32_t *>(padding_bytes + sizes.bytes + sizes.looked_up);

  const auto fill_planes = [&](int row, uint8_t *to) {
    if (c.stack_by_stack)
      fill_row(c, strip, input, EVERY_BYTE.byte, row, to);
    else
      fill_plane_rows(c, strip, input, row, raw, to);
  };
  fill_planes(-1, padding_planes);
  if (c.lookups) fill_byte_rows(c, strip, input, -1, padding_bytes);

  const int64_t plane_quarter = plane_row_bytes(c, strip.columns) / 4;
  const Places places(c, strip);
  TileRow tiles(c, strip, places, kept);
  Rows rows;
  std::vector<const uint8_t *> plane_rows(size_t(c.kernel_rows)), byte_rows(size_t(c.kernel_rows));
  std::vector<const uint8_t *> stack_row(size_t(c.kernel_rows));
  const RowRange mine = target.share.rows(c.output_rows);
  for (int row = mine.first; row < mine.last; ++row) {
    for (int k = 0; k < c.kernel_rows; ++k) {
      const int y = row * c.stride_rows - c.padding_top + k * c.dilation_rows;
      const bool inside = y >= 0 && y < c.input_rows;
      plane_rows[size_t(k)] = inside ? planes.slot(y) : padding_planes;
      byte_rows[size_t(k)] = inside ? bytes.slot(y) : padding_bytes;
      if (!inside) continue;
      if (planes.claim(y)) {
        fill_planes(y, planes.slot(y));
        if (c.lookups) fill_byte_rows(c, strip, input, y, bytes.slot(y));
      }
    }

    if (looked_up)
      look_up_row(c, strip.columns, byte_rows, byte_row_bytes(c, strip.columns), looked_up);

    if (tiles.empty()) {
      for (int b = 0; b < c.blocks; ++b) {
        places.of(c.block[b].segment, c.block[b].segments, plane_rows, rows);
        product_row(c, strip, c.block[b], rows, looked_up, row, target);
      }
      continue;
    }
    for (int stack = 0, plane = 0; stack < std::max(c.stacks, 1); ++stack) {
      if (!c.stack_by_stack) {
        tiles.add(stack, plane_rows, plane_quarter * c.planes, looked_up, row, target);
        continue;
      }
      const int64_t quarter = plane_quarter * c.stack_planes[stack];
      for (int k = 0; k < c.kernel_rows; ++k) {
        uint8_t *to = stack_rows + k * 4 * quarter;
        fill_stack(c, strip, stack, plane, plane_rows[size_t(k)], to, quarter);
        stack_row[size_t(k)] = to;
      }
      tiles.add(stack, stack_row, quarter, looked_up, row, target);
      plane += c.stack_planes[stack];
    }
  }
}

}  // namespace detail

inline void convolve(const Convolution &c, const int8_t *input, const Target &target,
                     uint8_t *scratch) {
  const int columns = c.strip_columns;
  for (int first = 0; first < c.output_columns; first += columns) {
    const Strip strip = {first, std::min(columns, c.output_columns - first)};
    detail::convolve_strip(c, strip, input, target, scratch);
  }
}

}  // namespace axynq
