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

inline int64_t scratch_bytes(const Convolution &c) {
  const int slots = spanned_rows(c);
  return slots * round_up(plane_row_bytes(c) * c.planes) + round_up(plane_row_bytes(c) * c.planes) +
         (c.planes > 1 ? round_up(plane_row_bytes(c)) : 0) +
         (c.lookups ? (slots + 1) * PARTS * byte_row_bytes(c) : 0) +
         round_up(int64_t(c.output_channels) * c.output_columns * BLOCK * 4) +
         (instructions::TILES ? TILE_GROUPS * 4 * BLOCK : 0);  // read behind the last row
}

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

// A filter's sums as they come from the products.
inline void finish_products(const Convolution &c, const FilterBlock &block, int f,
                            instructions::Sums &sums, const int32_t *looked_up, int row, int x,
                            const Target &target) {
  const int filter = block.filter[f];
  if (block.final_shift) sums.shift_left(block.final_shift);
  sums.add(c.bias[filter]);
  if (looked_up) sums.add(looked_up + (int64_t(filter) * c.output_columns + x) * BLOCK);
  finish(c, sums, filter, row, x, target);
}

template <int FILTERS>
inline void dot_row(const Convolution &c, const FilterBlock &block,
                    std::vector<const uint8_t *> &rows, int64_t step, const int32_t *looked_up,
                    int row, const Target &target) {
  for (int x = 0; x < c.output_columns; ++x) {
    instructions::Sums sums[FILTERS];
    instructions::dot_products<FILTERS>(block, rows.data(), sums);
    for (int f = 0; f < FILTERS; ++f)
      finish_products(c, block, f, sums[f], looked_up, row, x, target);
    for (auto &pointer : rows) pointer += step;
  }
}

inline void tile_row(const Convolution &c, const FilterBlock &block,
                     std::vector<const uint8_t *> &rows, int64_t step, const int32_t *looked_up,
                     int row, const Target &target) {
  alignas(64) int32_t products[MOST_FILTERS * BLOCK];
  for (int x = 0; x < c.output_columns; ++x) {
    instructions::tile_products(block, rows.data(), products);
    for (int f = 0; f < block.filters; ++f) {
      instructions::Sums sums;
      sums.load(products + f * BLOCK);
      finish_products(c, block, f, sums, looked_up, row, x, target);
    }
    for (auto &pointer : rows) pointer += step;
  }
}

}  // namespace detail

inline void convolve(const Convolution &c, const int8_t *input, const Target &target,
                     uint8_t *scratch) {
  const int slots = spanned_rows(c);
  const int64_t plane_bytes = plane_row_bytes(c);
  const int64_t planes_bytes = round_up(plane_bytes * c.planes);
  const int64_t byte_bytes = PARTS * byte_row_bytes(c);
  Ring planes(slots, planes_bytes, scratch);
  uint8_t *padding_planes = scratch + slots * planes_bytes;
  scratch = padding_planes + planes_bytes;
  uint8_t *raw = scratch;
  if (c.planes > 1) scratch += round_up(plane_bytes);
  fill_plane_rows(c, input, -1, raw, padding_planes);
  Ring bytes(slots, byte_bytes, scratch);
  uint8_t *padding_bytes = scratch + slots * byte_bytes;
  if (c.lookups) {
    fill_byte_rows(c, input, -1, padding_bytes);
    scratch = padding_bytes + byte_bytes;
  }
  int32_t *looked_up = c.lookups ? reinterpret_cast<int32_t *>(scratch) : nullptr;

  std::vector<const uint8_t *> plane_rows(size_t(c.kernel_rows)), byte_rows(size_t(c.kernel_rows));
  std::vector<const uint8_t *> pointers;
  const RowRange mine = target.share.rows(c.output_rows);
  for (int row = mine.first; row < mine.last; ++row) {
    for (int k = 0; k < c.kernel_rows; ++k) {
      const int y = row * c.stride_rows - c.padding_top + k * c.dilation_rows;
      const bool inside = y >= 0 && y < c.input_rows;
      plane_rows[size_t(k)] = inside ? planes.slot(y) : padding_planes;
      byte_rows[size_t(k)] = inside ? bytes.slot(y) : padding_bytes;
      if (!inside) continue;
      if (planes.claim(y)) {
        fill_plane_rows(c, input, y, raw, planes.slot(y));
        if (c.lookups) fill_byte_rows(c, input, y, bytes.slot(y));
      }
    }

    if (looked_up) {
      std::memset(looked_up, 0,
                  size_t(c.output_channels) * size_t(c.output_columns) * BLOCK * sizeof(int32_t));
      const int columns = padded_columns(c);
      for (int l = 0; l < c.lookups; ++l) {
        const LookupFilter &filter = c.lookup[l];
        pointers.resize(size_t(filter.taps));
        for (int t = 0; t < filter.taps; ++t) {
          const LookupTap &tap = filter.tap[t];
          const int column = tap.kernel_column * c.dilation_columns;
          pointers[size_t(t)] = byte_rows[size_t(tap.kernel_row)] +
                                filter.part * byte_row_bytes(c) +
                                (int64_t(tap.channel) * columns + column) * BLOCK;
        }
        look_up_row(c, filter, pointers,
                    looked_up + int64_t(filter.filter) * c.output_columns * BLOCK);
      }
    }

    const int64_t step = int64_t(c.flattened ? 1 : c.stride_columns) * c.row_groups * 4 * BLOCK;
    for (int b = 0; b < c.blocks; ++b) {
      const FilterBlock &block = c.block[b];
      pointers.resize(size_t(block.segments));
      for (int s = 0; s < block.segments; ++s) {
        const Segment &segment = block.segment[s];
        pointers[size_t(s)] = plane_rows[size_t(segment.kernel_row)] + segment.plane * plane_bytes +
                              int64_t(segment.offset) * 4 * BLOCK;
      }
      if (block.tiles) {
        detail::tile_row(c, block, pointers, step, looked_up, row, target);
        continue;
      }
      switch (block.filters) {
        case 1:
          detail::dot_row<1>(c, block, pointers, step, looked_up, row, target);
          break;
        case 2:
          detail::dot_row<2>(c, block, pointers, step, looked_up, row, target);
          break;
        case 3:
          detail::dot_row<3>(c, block, pointers, step, looked_up, row, target);
          break;
        case 4:
          detail::dot_row<4>(c, block, pointers, step, looked_up, row, target);
          break;
        case 5:
          detail::dot_row<5>(c, block, pointers, step, looked_up, row, target);
          break;
        default:
          detail::dot_row<6>(c, block, pointers, step, looked_up, row, target);
          break;
      }
    }
  }
}

}  // namespace axynq
