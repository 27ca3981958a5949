// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Rows of activations as the multiplying loops want them.
#pragma once

#include <algorithm>
#include <vector>

#include "instructions.hpp"

namespace axynq {

inline const uint8_t *pixel(const int8_t *tensor, const Convolution &c, int channel, int row,
                            int column) {
  const int64_t place =
      (int64_t(c.first_channel + channel) * c.input_rows + row) * c.input_columns + column;
  return reinterpret_cast<const uint8_t *>(tensor) + place * BLOCK;
}

// The rows a kernel spans, kept while output rows need them.
class Ring {
 public:
  Ring(int slots, int64_t row_bytes, uint8_t *memory)
      : rows_(size_t(slots), -1), row_bytes_(row_bytes), memory_(memory) {}

  uint8_t *slot(int row) { return memory_ + (row % int(rows_.size())) * row_bytes_; }

  // Whether the row has to be filled in; it counts as filled from now on.
  bool claim(int row) {
    int &held = rows_[size_t(row) % rows_.size()];
    if (held == row) return false;
    held = row;
    return true;
  }

 private:
  std::vector<int> rows_;
  int64_t row_bytes_;
  uint8_t *memory_;
};

inline int spanned_rows(const Convolution &c) { return (c.kernel_rows - 1) * c.dilation_rows + 1; }

// Output columns that are computed together, lest rows of many planes leave the caches.
struct Strip {
  int first, columns;
};

// Columns of the input, padding included, that so many output columns see.
inline int seen_columns(const Convolution &c, int columns) {
  return (columns - 1) * c.stride_columns + (c.kernel_columns - 1) * c.dilation_columns + 1;
}

// Bytes of a row of one plane.
inline int64_t plane_row_bytes(const Convolution &c, int columns) {
  const int positions = c.flattened ? columns : seen_columns(c, columns);
  return int64_t(positions) * c.row_groups * 4 * BLOCK;
}

// Channels whose activations lie side by side where they are looked up.
inline int lookup_channels(const Convolution &c) { return std::min(c.channels, LOOKUP_CHANNELS); }

// Bytes of a row of one part of the activations, of so many channels.
inline int64_t lookup_row_bytes(const Convolution &c, int columns) {
  return int64_t(seen_columns(c, columns)) * lookup_channels(c) * BLOCK;
}

// The same of all channels.
inline int64_t byte_row_bytes(const Convolution &c, int columns) {
  const int width = lookup_channels(c);
  return lookup_row_bytes(c, columns) * ((c.channels + width - 1) / width);
}

// One row through a table: each activation's byte, four taps interleaved; a quarter of the images
// behind the other. A row outside the map is all padding.
inline void fill_row(const Convolution &c, const Strip &strip, const int8_t *tensor,
                     const uint8_t *bytes, int row, uint8_t *to) {
  const int64_t quarter = plane_row_bytes(c, strip.columns) / 4;
  const instructions::Table table(bytes, true);
  const bool inside = row >= 0 && row < c.input_rows;
  alignas(64) uint8_t padding[BLOCK];
  std::memset(padding, bytes[uint8_t(c.pad_value)], BLOCK);
  const uint8_t *sources[4];
  const int begin = strip.first * c.stride_columns - c.padding_left;
  if (c.flattened) {
    const int taps = c.kernel_columns * c.channels;
    for (int x = 0; x < strip.columns; ++x)
      for (int group = 0; group < c.row_groups; ++group, to += BLOCK) {
        for (int k = 0; k < 4; ++k) {
          const int tap = std::min(4 * group + k, taps - 1);
          const int column = begin + x * c.stride_columns + tap / c.channels * c.dilation_columns;
          const bool here = inside && column >= 0 && column < c.input_columns;
          sources[k] = here ? pixel(tensor, c, tap % c.channels, row, column) : padding;
        }
        instructions::map_and_interleave(table, sources, padding, to, quarter);
      }
    return;
  }
  const int end = begin + seen_columns(c, strip.columns);
  for (int column = begin; column < end; ++column) {
    const bool here = inside && column >= 0 && column < c.input_columns;
    for (int group = 0; group < c.row_groups; ++group, to += BLOCK) {
      for (int k = 0; k < 4; ++k) {
        const int channel = std::min(4 * group + k, c.channels - 1);
        sources[k] = here ? pixel(tensor, c, channel, row, column) : padding;
      }
      instructions::map_and_interleave(table, sources, padding, to, quarter);
    }
  }
}

// One stack of a row, whose first plane is `plane`, made of interleaved bytes; quarters of the
// images are `quarter` bytes apart.
inline void fill_stack(const Convolution &c, const Strip &strip, int stack, int plane,
                       const uint8_t *raw, uint8_t *to, int64_t quarter) {
  const int64_t pixel_bytes = int64_t(c.row_groups) * BLOCK;
  const int64_t bytes = plane_row_bytes(c, strip.columns) / 4;
  const int planes = c.stack_planes[stack];
  for (int part = 0; part < 4; ++part, raw += bytes, to += quarter)
    instructions::map_planes(c.plane_tables + 256 * plane, c.plane_halves + plane, planes,
                             bytes / pixel_bytes, pixel_bytes, raw, to);
}

// A row of all planes: for each quarter of the images, one stack behind the other. Several planes
// have the bytes interleaved once, in `raw`.
inline void fill_plane_rows(const Convolution &c, const Strip &strip, const int8_t *tensor, int row,
                            uint8_t *raw, uint8_t *to) {
  if (c.planes == 0) return;
  if (c.planes == 1) return fill_row(c, strip, tensor, c.plane_tables, row, to);
  fill_row(c, strip, tensor, EVERY_BYTE.byte, row, raw);
  const int64_t bytes = plane_row_bytes(c, strip.columns) / 4;
  for (int stack = 0, plane = 0; stack < c.stacks; plane += c.stack_planes[stack++])
    fill_stack(c, strip, stack, plane, raw, to + plane * bytes, c.planes * bytes);
}

// What `part` makes of a row's bytes, with padding: [column][channel][images] of some channels, and
// of the next.
template <class OfByte>
inline void fill_byte_row(const Convolution &c, const Strip &strip, const int8_t *tensor, int row,
                          uint8_t *to, const OfByte &part) {
  const bool inside = row >= 0 && row < c.input_rows;
  const int begin = strip.first * c.stride_columns - c.padding_left;
  const int end = begin + seen_columns(c, strip.columns);
  const int width = lookup_channels(c);
  for (int first = 0; first < c.channels; first += width)
    for (int column = begin; column < end; ++column)
      for (int channel = first; channel < first + width; ++channel, to += BLOCK) {
        if (inside && column >= 0 && column < c.input_columns && channel < c.channels) {
          const uint8_t *from = pixel(tensor, c, channel, row, column);
          for (int n = 0; n < BLOCK; ++n) to[n] = part(from[n]);
        } else {
          std::memset(to, part(uint8_t(c.pad_value)), BLOCK);
        }
      }
}

// The part of a row that a filter looks up.
inline int row_part(const LookupFilter &filter) {
  return filter.part == SEVEN_BITS ? WHOLE_BYTE : filter.part;
}

// All parts of a row that are looked up, one behind the other.
inline void fill_byte_rows(const Convolution &c, const Strip &strip, const int8_t *tensor, int row,
                           uint8_t *to) {
  const int64_t bytes = byte_row_bytes(c, strip.columns);
  const auto fill = [&](Part part, const auto &of_byte) {
    if (c.lookup_parts >> part & 1)
      fill_byte_row(c, strip, tensor, row, to + part * bytes, of_byte);
  };
  fill(WHOLE_BYTE, [](uint8_t byte) { return byte; });
  fill(LOW_HALF, [](uint8_t byte) { return uint8_t(byte & 15); });
  fill(HIGH_HALF, [](uint8_t byte) { return uint8_t(byte >> 4); });
}

}  // namespace axynq
