// A convolution of one block of images, row by row.
#pragma once

#include "dot.hpp"
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

constexpr int POSITIONS = 8;  // output positions looked up together

inline int64_t round_up(int64_t bytes) { return (bytes + 63) / 64 * 64; }

inline int64_t scratch_bytes(const Convolution &c) {
  const int slots = spanned_rows(c);
  return slots * round_up(plane_row_bytes(c) * c.planes) + round_up(plane_row_bytes(c) * c.planes) +
         (c.lookups ? (slots + 1) * round_up(byte_row_bytes(c)) : 0) +
         round_up(int64_t(c.output_channels) * c.output_columns * BLOCK * 4);
}

namespace detail {

inline void finish(const Convolution &c, const int32_t *sums, int filter, int row, int column,
                   const Target &target) {
  const int64_t place =
      (int64_t(filter) * c.output_rows + row) * c.output_columns + column;
  if (target.tensor)
    requantise(sums, c.multiplier[filter], c.shift[filter], c.output_zero_point, c.clamp_low,
               c.clamp_high, target.tensor + place * BLOCK);
  if (target.accumulators) {
    int32_t *to = target.accumulators + place * target.images + target.first;
    int32_t in_order[BLOCK];
    for (int k = 0; k < BLOCK; ++k) in_order[quad_image(k)] = sums[k];
    std::memcpy(to, in_order, size_t(target.count) * sizeof(int32_t));
  }
}

template <int FILTERS>
inline void dot_row(const Convolution &c, const FilterBlock &block,
                    const std::vector<const uint8_t *> &starts, int64_t step,
                    const int32_t *looked_up, int row, const Target &target) {
  alignas(64) int32_t sums[FILTERS * BLOCK];
  std::vector<const uint8_t *> rows(starts);
  for (int x = 0; x < c.output_columns; ++x) {
    for (int f = 0; f < FILTERS; ++f) std::memset(sums + f * BLOCK, 0, BLOCK * sizeof(int32_t));
    dot_products<FILTERS>(block, rows.data(), sums);
    for (int f = 0; f < FILTERS; ++f) {
      const int filter = block.filter[f];
      int32_t *sum = sums + f * BLOCK;
      const int32_t bias = c.bias[filter];
      if (looked_up) {
        const int32_t *more = looked_up + (int64_t(filter) * c.output_columns + x) * BLOCK;
        for (int k = 0; k < BLOCK; ++k) sum[k] += bias + more[k];
      } else {
        for (int k = 0; k < BLOCK; ++k) sum[k] += bias;
      }
      finish(c, sum, filter, row, x, target);
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
  const int64_t byte_bytes = round_up(byte_row_bytes(c));
  Ring planes(slots, planes_bytes, scratch);
  uint8_t *padding_planes = scratch + slots * planes_bytes;
  scratch = padding_planes + planes_bytes;
  for (int p = 0; p < c.planes; ++p)
    fill_plane_row(c, input, p, -1, padding_planes + p * plane_bytes);
  Ring bytes(slots, byte_bytes, scratch);
  uint8_t *padding_bytes = scratch + slots * byte_bytes;
  if (c.lookups) {
    fill_byte_row(c, input, -1, padding_bytes);
    scratch = padding_bytes + byte_bytes;
  }
  int32_t *looked_up = c.lookups ? reinterpret_cast<int32_t *>(scratch) : nullptr;

  std::vector<const uint8_t *> plane_rows(size_t(c.kernel_rows)), byte_rows(size_t(c.kernel_rows));
  std::vector<const uint8_t *> starts, tap_rows, shifted;
  for (int row = 0; row < c.output_rows; ++row) {
    for (int k = 0; k < c.kernel_rows; ++k) {
      const int y = row * c.stride_rows - c.padding_top + k * c.dilation_rows;
      const bool inside = y >= 0 && y < c.input_rows;
      plane_rows[size_t(k)] = inside ? planes.slot(y) : padding_planes;
      byte_rows[size_t(k)] = inside ? bytes.slot(y) : padding_bytes;
      if (!inside) continue;
      if (planes.claim(y)) {
        for (int p = 0; p < c.planes; ++p)
          fill_plane_row(c, input, p, y, planes.slot(y) + p * plane_bytes);
        if (c.lookups) fill_byte_row(c, input, y, bytes.slot(y));
      }
    }

    if (looked_up) {
      std::memset(looked_up, 0,
                  size_t(c.output_channels) * size_t(c.output_columns) * BLOCK * sizeof(int32_t));
      const int columns = padded_columns(c);
      const int64_t step = int64_t(c.stride_columns) * BLOCK;
      for (int l = 0; l < c.lookups; ++l) {
        const LookupFilter &filter = c.lookup[l];
        tap_rows.resize(size_t(filter.taps));
        for (int t = 0; t < filter.taps; ++t) {
          const LookupTap &tap = filter.tap[t];
          const int column = tap.kernel_column * c.dilation_columns;
          tap_rows[size_t(t)] = byte_rows[size_t(tap.kernel_row)] +
                                (int64_t(tap.channel) * columns + column) * BLOCK;
        }
        int32_t *sums = looked_up + int64_t(filter.filter) * c.output_columns * BLOCK;
        int x = 0;
        const auto advance = [&](int positions) {
          for (auto &pointer : tap_rows) pointer += positions * step;
          sums += int64_t(positions) * BLOCK;
          x += positions;
        };
        while (x + POSITIONS <= c.output_columns) {
          look_up<POSITIONS>(c, filter, tap_rows.data(), step, sums);
          advance(POSITIONS);
        }
        while (x < c.output_columns) {
          look_up<1>(c, filter, tap_rows.data(), step, sums);
          advance(1);
        }
      }
    }

    const int64_t step =
        int64_t(c.flattened ? 1 : c.stride_columns) * c.row_groups * 4 * BLOCK;
    for (int b = 0; b < c.blocks; ++b) {
      const FilterBlock &block = c.block[b];
      starts.resize(size_t(block.segments));
      for (int s = 0; s < block.segments; ++s) {
        const Segment &segment = block.segment[s];
        starts[size_t(s)] = plane_rows[size_t(segment.kernel_row)] + segment.plane * plane_bytes +
                            int64_t(segment.offset) * 4 * BLOCK;
      }
      switch (block.filters) {
        case 1: detail::dot_row<1>(c, block, starts, step, looked_up, row, target); break;
        case 2: detail::dot_row<2>(c, block, starts, step, looked_up, row, target); break;
        case 3: detail::dot_row<3>(c, block, starts, step, looked_up, row, target); break;
        case 4: detail::dot_row<4>(c, block, starts, step, looked_up, row, target); break;
        case 5: detail::dot_row<5>(c, block, starts, step, looked_up, row, target); break;
        default: detail::dot_row<6>(c, block, starts, step, looked_up, row, target); break;
      }
    }
  }
}

}  // namespace axynq
