// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// A convolution of one image. Its tensors are planar: for each channel the rows, one after another.
// The 64 lanes of the multiplying loops are 64 neighbouring output positions, where a block of
// images has 64 images.
//
// Four taps at each position of the padded input are one quad, made once for each plane. For 64
// output positions the quads that each place of the kernel sees are gathered, in the order in which
// a block's rows have them: the loops cannot tell the difference.
#pragma once

#include "convolution.hpp"
#include "single_operators.hpp"

namespace axynq::single_image {

constexpr int QUAD = 4;  // bytes

// What is in quad order becomes plain, and the other way round: sixteen groups of four, as a
// square, with rows and columns exchanged. Of 64 bytes:
inline void turn(const void *from, void *to) {
  using Fours = int32_t __attribute__((vector_size(BLOCK)));
  Fours square;
  std::memcpy(&square, from, BLOCK);
#if defined(__clang__) || __GNUC__ >= 12
  square =
      __builtin_shufflevector(square, square, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
#else
  square = __builtin_shuffle(square, Fours{0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15});
#endif
  std::memcpy(to, &square, BLOCK);
}

// Of 64 sums:
inline void turn_sums(const int32_t *from, int32_t *to) {
  for (int k = 0; k < 16; ++k)
    std::memcpy(to + 4 * k, from + 4 * (k % 4 * 4 + k / 4), 4 * sizeof(int32_t));
}

inline int padded_columns(const Convolution &c) {
  return std::max(seen_columns(c, c.output_columns), c.padding_left + c.input_columns);
}

// The input with all padding that any output position sees.
struct Padded {
  int rows, columns;
  int64_t positions;
  int64_t slack;  // bytes that are read behind what is there at most
  bool is_input;  // there is none, and nothing is read further behind it than SLACK
  explicit Padded(const Convolution &c)
      : rows(std::max((c.output_rows - 1) * c.stride_rows + spanned_rows(c),
                      c.padding_top + c.input_rows)),
        columns(padded_columns(c)),
        positions(int64_t(rows) * columns),
        slack(SLACK * c.stride_columns),
        is_input(rows == c.input_rows && columns == c.input_columns &&
                 (!c.flattened || c.kernel_columns == 1) && (!c.lookups || c.stride_columns == 1)) {
  }
  int64_t channel_bytes() const { return is_input ? positions : round_up(positions) + slack; }
  int64_t quad_bytes() const { return round_up(positions) * QUAD; }
};

// What an output position sees: of each stack of planes for each kernel row so many columns from
// the position's own on, at each the groups of four taps of all planes of the stack.
struct Seen {
  int columns;
  int groups;       // of all stacks
  int64_t quarter;  // bytes from a quarter of the positions to the next
  explicit Seen(const Convolution &c)
      : columns(c.flattened ? 1 : (c.kernel_columns - 1) * c.dilation_columns + 1),
        groups(c.planes * c.kernel_rows * columns * c.row_groups),
        quarter(int64_t(groups + TILE_GROUPS) * BLOCK) {}
};

constexpr int VECTORS = instructions::LOOKUP_POSITIONS;  // of positions, looked up together

// Bytes of what a vector of positions looks up in a kernel row, as rows of a block have it:
// [channels][column][channel of those], of LOOKUP_CHANNELS each.
inline int64_t channels_bytes(const Convolution &c) {
  const int columns = (c.kernel_columns - 1) * c.dilation_columns + 1;
  return int64_t(columns) * lookup_channels(c) * BLOCK;
}
inline int64_t kernel_row_bytes(const Convolution &c) {
  const int width = lookup_channels(c);
  return (c.channels + width - 1) / width * channels_bytes(c);
}
inline int64_t vector_bytes(const Convolution &c) { return c.kernel_rows * kernel_row_bytes(c); }

// Of all vectors that are looked up together.
inline int64_t tap_bytes(const Convolution &c) { return VECTORS * vector_bytes(c); }

// Where everything lies in the scratch memory, and how much it is.
struct Scratch {
  int64_t groups, raw, quads, padded, halves[ROW_PARTS], taps, looked_up;
  int64_t bytes = 0;
  Scratch(const Convolution &c, const Padded &padded_map) {
    const int64_t channels = padded_map.channel_bytes() * c.channels + padded_map.slack;
    const int64_t quad_bytes = padded_map.quad_bytes() * c.row_groups;
    groups = take(Seen(c).quarter * 4);
    raw = take(c.planes > 1 ? quad_bytes : 0);
    quads = take(quad_bytes * c.planes + padded_map.slack);
    padded = take(padded_map.is_input ? 0 : channels + padded_map.columns);
    for (int64_t &half : halves) half = take(c.lookups ? channels : 0);
    taps = take(c.lookups ? ROW_PARTS * tap_bytes(c) + SLACK : 0);
    looked_up =
        take(c.lookups ? c.output_channels * VECTORS * BLOCK * int64_t(sizeof(int32_t)) : 0);
  }

 private:
  int64_t take(int64_t more) {
    const int64_t place = bytes;
    bytes += round_up(more);
    return place;
  }
};

inline int64_t scratch_bytes(const Convolution &c) { return Scratch(c, Padded(c)).bytes; }

// A vector of neighbouring output positions of one row: the bytes from the kernel's first tap at
// the first of them on, among those of the padded input, and from the first position on.
struct Piece {
  int64_t from, to;
};

// The output positions of a layer in vectors of values, `together` at a time.
class Pieces {
 public:
  void clear() {
    pieces_.clear();
    first_.clear();
  }

  // Of values of so many bytes, unless they are there.
  void find(const Convolution &c, const Padded &padded, int together, int bytes) {
    if (!first_.empty()) return;
    const int64_t positions = int64_t(c.output_rows) * c.output_columns;
    const bool joined =
        c.stride_rows == 1 && c.stride_columns == 1 && padded.columns == c.output_columns;
    for (int64_t first = 0; first < positions; first += together) {
      first_.push_back(pieces_.size());
      const int64_t count = std::min<int64_t>(together, positions - first);
      int64_t row = first / c.output_columns, column = first % c.output_columns;
      for (int64_t to = 0; to < count; ++row, column = 0) {
        const int64_t rest = count - to;
        const int64_t here = joined ? rest : std::min<int64_t>(c.output_columns - column, rest);
        const int64_t from = row * c.stride_rows * padded.columns + column * c.stride_columns;
        for (int64_t k = 0; k < here; k += BLOCK / bytes)
          pieces_.push_back({(from + k * c.stride_columns) * bytes, (to + k) * bytes});
        to += here;
      }
    }
    first_.push_back(pieces_.size());
  }

  struct Span {
    const Piece *first, *last;
    const Piece *begin() const { return first; }
    const Piece *end() const { return last; }
  };
  Span operator[](int64_t k) const {
    return {pieces_.data() + first_[size_t(k)], pieces_.data() + first_[size_t(k) + 1]};
  }

 private:
  std::vector<Piece> pieces_;
  std::vector<size_t> first_;
};

// What a thread keeps from one convolution of a layer to the next, all of which are of one shape.
struct Workspace {
  Pieces quads, bytes;
  std::vector<const uint8_t *> rows, taps;     // of segments and look-ups
  std::vector<std::vector<TileChunk>> chunks;  // of blocks

  void next_layer() {
    quads.clear();
    bytes.clear();
  }
};

// Values of the padded input that the pieces see, which are a stride apart. A STRIDE of 0: of any.
template <class Value, int STRIDE>
inline void gather_vectors(Pieces::Span pieces, int stride, const uint8_t *from, uint8_t *to) {
  for (const Piece &piece : pieces) {
    Value values[BLOCK / sizeof(Value)];
    const uint8_t *source = from + piece.from;
    for (size_t k = 0; k < BLOCK / sizeof(Value); ++k)
      std::memcpy(values + k, source + k * size_t(STRIDE ? STRIDE : stride) * sizeof(Value),
                  sizeof(Value));
    std::memcpy(to + piece.to, values, BLOCK);
  }
}

// Whole vectors are written: behind a piece's end the next piece or the next call writes again.
template <class Value>
[[gnu::noinline]] inline void gather(Pieces::Span pieces, int stride, const uint8_t *from,
                                     uint8_t *to) {
  if (stride == 1) return gather_vectors<Value, 1>(pieces, stride, from, to);
  if (stride == 2) return gather_vectors<Value, 2>(pieces, stride, from, to);
  gather_vectors<Value, 0>(pieces, stride, from, to);
}

// Whole vectors, the last of which reaches behind `bytes`.
inline void copy(uint8_t *to, const uint8_t *from, int64_t bytes) {
  for (int64_t k = 0; k < bytes; k += BLOCK) std::memcpy(to + k, from + k, BLOCK);
}

inline void fill(uint8_t *to, int value, int64_t bytes) {
  for (int64_t k = 0; k < bytes; k += BLOCK) std::memset(to + k, value, BLOCK);
}

// The channels of the input with padding, [channel][padded row][padded column].
inline const uint8_t *pad(const Convolution &c, const Padded &padded, const int8_t *input,
                          uint8_t *to) {
  const int64_t plane = int64_t(c.input_rows) * c.input_columns;
  const uint8_t *from = reinterpret_cast<const uint8_t *>(input) + c.first_channel * plane;
  if (padded.is_input) return from;
  const int between = padded.columns - c.input_columns;
  const int64_t before = int64_t(c.padding_top) * padded.columns + c.padding_left;
  const int64_t behind =
      padded.positions - before - int64_t(c.input_rows) * padded.columns + between;
  for (int channel = 0; channel < c.channels; ++channel) {
    uint8_t *place = to + channel * padded.channel_bytes();
    fill(place, c.pad_value, before);
    place += before;
    for (int row = 0; row < c.input_rows; ++row, from += c.input_columns) {
      copy(place, from, c.input_columns);
      place += c.input_columns;
      fill(place, c.pad_value, row + 1 < c.input_rows ? between : behind);
      place += between;
    }
  }
  return to;
}

// Quads of all positions through one table, [group][position].
inline void fill_quads(const Convolution &c, const Padded &padded, const uint8_t *bytes,
                       const uint8_t *table_bytes, uint8_t *to) {
  const instructions::Table table(table_bytes, true);
  const int taps = c.channels * (c.flattened ? c.kernel_columns : 1);
  for (int group = 0; group < c.row_groups; ++group) {
    const uint8_t *from[4];
    for (int k = 0; k < 4; ++k) {
      const int tap = std::min(4 * group + k, taps - 1);
      from[k] =
          bytes + tap % c.channels * padded.channel_bytes() + tap / c.channels * c.dilation_columns;
    }
    for (int64_t first = 0; first < padded.positions; first += BLOCK, to += BLOCK * QUAD) {
      alignas(64) uint8_t turned[4][BLOCK];
      for (int k = 0; k < 4; ++k) turn(from[k] + first, turned[k]);
      const uint8_t *const four[4] = {turned[0], turned[1], turned[2], turned[3]};
      instructions::map_and_interleave(table, four, nullptr, to, BLOCK);
    }
  }
}

// Quads of all planes, [plane][group][position]. Several have the bytes interleaved once, in `raw`.
inline void fill_planes(const Convolution &c, const Padded &padded, const uint8_t *bytes,
                        uint8_t *raw, uint8_t *to) {
  if (c.planes == 1) return fill_quads(c, padded, bytes, c.plane_tables, to);
  if (c.planes == 0) return;
  fill_quads(c, padded, bytes, EVERY_BYTE.byte, raw);
  const int64_t quads = padded.quad_bytes() * c.row_groups;
  for (int p = 0; p < c.planes; ++p)
    instructions::map_planes(c.plane_tables + 256 * p, c.plane_halves + p, 1, 1, quads, raw,
                             to + p * quads);
}

// What 64 output positions see of all planes: for each quarter of the positions
// [stack][kernel row][column][plane of the stack][group].
inline void gather_groups(const Convolution &c, const Padded &padded, const Seen &seen,
                          Pieces::Span pieces, const uint8_t *quads, uint8_t *to) {
  const int64_t plane_bytes = padded.quad_bytes() * c.row_groups;
  for (int stack = 0; stack < c.stacks; quads += c.stack_planes[stack++] * plane_bytes)
    for (int k = 0; k < c.kernel_rows; ++k)
      for (int column = 0; column < seen.columns; ++column) {
        const int groups = c.stack_planes[stack] * c.row_groups;
        if (column % c.dilation_columns) {  // no tap is there
          to += groups * BLOCK;
          continue;
        }
        const int64_t first = int64_t(k) * c.dilation_rows * padded.columns + column;
        for (int group = 0; group < groups; ++group, to += BLOCK) {
          alignas(64) uint8_t found[BLOCK * QUAD + SLACK];
          gather<uint32_t>(pieces, c.stride_columns,
                           quads + group * padded.quad_bytes() + first * QUAD, found);
          for (int part = 0; part < 4; ++part)
            std::memcpy(to + part * seen.quarter, found + part * BLOCK, BLOCK);
        }
      }
}

// Where a segment's activations begin among the gathered groups.
inline const uint8_t *segment_groups(const Convolution &c, const Seen &seen, const Segment &segment,
                                     const uint8_t *groups) {
  int64_t planes = 0;  // of the stacks before
  for (int k = 0; k < segment.stack; ++k) planes += c.stack_planes[k];
  const int64_t row =
      planes * c.kernel_rows + int64_t(c.stack_planes[segment.stack]) * segment.kernel_row;
  return groups + (row * seen.columns * c.row_groups + segment.offset) * BLOCK;
}

// The part of the padded input's bytes that is looked up.
inline const uint8_t *take_part(const Convolution &c, const Padded &padded, int part,
                                const uint8_t *bytes, uint8_t *to) {
  if (part == WHOLE_BYTE) return bytes;
  const int64_t count = padded.channel_bytes() * c.channels;
  const int shift = part == HIGH_HALF ? 4 : 0;
  for (int64_t k = 0; k < count; ++k) to[k] = bytes[k] >> shift & 0x0F;
  return to;
}

// The bytes that some vectors of output positions look up, [part][vector][kernel row] and as
// `channels_bytes` says.
inline void gather_taps(const Convolution &c, const Padded &padded, Pieces::Span pieces,
                        int vectors, const uint8_t *const bytes[ROW_PARTS], uint8_t *to) {
  const int width = lookup_channels(c);
  for (int part = 0; part < ROW_PARTS; ++part, to += tap_bytes(c)) {
    if (!(c.lookup_parts >> part & 1)) continue;
    for (int k = 0; k < c.kernel_rows; ++k)
      for (int kernel_column = 0; kernel_column < c.kernel_columns; ++kernel_column)
        for (int channel = 0; channel < c.channels; ++channel) {
          const int column = kernel_column * c.dilation_columns;
          alignas(64) uint8_t found[VECTORS * BLOCK + SLACK];
          gather<uint8_t>(pieces, c.stride_columns,
                          bytes[part] + channel * padded.channel_bytes() +
                              int64_t(k) * c.dilation_rows * padded.columns + column,
                          found);
          uint8_t *tap = to + k * kernel_row_bytes(c) + channel / width * channels_bytes(c) +
                         (int64_t(column) * width + channel % width) * BLOCK;
          for (int v = 0; v < vectors; ++v)
            std::memcpy(tap + v * vector_bytes(c), found + v * BLOCK, BLOCK);
        }
  }
}

// All look-ups of some vectors of positions, [filter][vector][64] sums in quad order.
inline void look_up(const Convolution &c, int vectors, const uint8_t *bytes,
                    std::vector<const uint8_t *> &rows, int32_t *sums) {
  std::memset(sums, 0, size_t(c.output_channels) * size_t(vectors) * BLOCK * sizeof(int32_t));
  rows.resize(size_t(c.kernel_rows));
  for (int l = 0; l < c.lookups; ++l) {
    const LookupFilter &filter = c.lookup[l];
    const uint8_t *first =
        bytes + row_part(filter) * tap_bytes(c) + filter.channels * channels_bytes(c);
    for (size_t k = 0; k < rows.size(); ++k) rows[k] = first + int64_t(k) * kernel_row_bytes(c);
    axynq::look_up(c, filter, vectors, rows.data(), vector_bytes(c),
                   sums + int64_t(filter.filter) * vectors * BLOCK);
  }
}

// Where the results of some output positions go.
struct Results {
  const Convolution &c;
  const Target &target;
  int64_t positions;  // of the output
  int64_t first;
  int count;
  const int32_t *looked_up;  // [filter][vector][64], from this vector on, or null
  int vectors;

  // Not inlined seven times: to compile that takes long.
  [[gnu::noinline]] void finish(const FilterBlock &block, int f, instructions::Sums &sums) const {
    const int filter = block.filter[f];
    if (block.final_shift) sums.shift_left(block.final_shift);
    sums.add(c.bias[filter]);
    if (looked_up) {
      alignas(64) int32_t plain[BLOCK];
      turn_sums(looked_up + int64_t(filter) * vectors * BLOCK, plain);
      sums.add(plain);
    }
    const int64_t place = filter * positions + first;
    if (target.tensor) {
      const Requantisation r = {c.multiplier[filter], c.shift[filter], c.output_zero_point,
                                c.clamp_low,          c.clamp_high,    c.real[filter]};
      alignas(64) int8_t bytes[BLOCK];
      instructions::requantise(sums, r, bytes);
      if (count == BLOCK) {
        turn(bytes, target.tensor + place);
      } else {
        alignas(64) int8_t plain[BLOCK];
        turn(bytes, plain);
        std::memcpy(target.tensor + place, plain, size_t(count));
      }
    }
    if (target.accumulators) {
      int32_t values[BLOCK];
      sums.store_in_order(values);
      int32_t *to = target.accumulators + place * target.images + target.first;
      for (int n = 0; n < count; ++n) to[n * target.images] = values[quad_image(n)];
    }
  }
};

template <int FILTERS>
inline void dot(const FilterBlock &block, const uint8_t *const *rows, int64_t quarter,
                const Results &results) {
  instructions::Sums sums[FILTERS];
  instructions::dot_products<FILTERS>(block, rows, quarter, sums);
  for (int f = 0; f < FILTERS; ++f) results.finish(block, f, sums[f]);
}

inline void multiply(const FilterBlock &block, const std::vector<TileChunk> &chunks,
                     const uint8_t *const *rows, int64_t quarter, const Results &results) {
  if (block.tiles) {
    alignas(64) int32_t products[MOST_FILTERS * BLOCK];
    for (const TileChunk &chunk : chunks)
      instructions::tile_products_of_one(chunk, rows + (chunk.segment - block.segment), quarter,
                                         products);
    for (int f = 0; f < block.filters; ++f) {
      instructions::Sums sums;
      sums.load(products + f * BLOCK);
      results.finish(block, f, sums);
    }
    return;
  }
  switch (block.filters) {
    case 1:
      return dot<1>(block, rows, quarter, results);
    case 2:
      return dot<2>(block, rows, quarter, results);
    case 3:
      return dot<3>(block, rows, quarter, results);
    case 4:
      return dot<4>(block, rows, quarter, results);
    case 5:
      return dot<5>(block, rows, quarter, results);
    default:
      return dot<6>(block, rows, quarter, results);
  }
}

inline void convolve(const Convolution &c, const int8_t *input, const Target &target,
                     uint8_t *scratch, Workspace &workspace) {
  const Padded padded(c);
  const Seen seen(c);
  workspace.quads.find(c, padded, BLOCK, QUAD);
  if (c.lookups) workspace.bytes.find(c, padded, VECTORS * BLOCK, 1);
  const Scratch places(c, padded);
  uint8_t *groups = scratch + places.groups, *taps = scratch + places.taps;
  uint8_t *quads = scratch + places.quads;
  int32_t *looked_up = reinterpret_cast<int32_t *>(scratch + places.looked_up);
  const uint8_t *bytes = pad(c, padded, input, scratch + places.padded);
  fill_planes(c, padded, bytes, scratch + places.raw, quads);
  const uint8_t *parts[ROW_PARTS] = {};
  for (int part = 0; part < ROW_PARTS; ++part)
    if (c.lookup_parts >> part & 1)
      parts[part] = take_part(c, padded, part, bytes, scratch + places.halves[part]);

  workspace.rows.clear();
  workspace.chunks.resize(size_t(c.blocks));
  for (int b = 0; b < c.blocks; ++b) {
    if (c.block[b].tiles) workspace.chunks[size_t(b)] = detail::chunks_of(c.block[b]);
    for (int s = 0; s < c.block[b].segments; ++s)
      workspace.rows.push_back(segment_groups(c, seen, c.block[b].segment[s], groups));
  }

  const int64_t positions = int64_t(c.output_rows) * c.output_columns;
  for (int64_t strip = 0; strip < positions; strip += VECTORS * BLOCK) {
    const int together = int(std::min<int64_t>(VECTORS * BLOCK, positions - strip));
    const int vectors = (together + BLOCK - 1) / BLOCK;
    if (c.lookups) {
      const int64_t number = strip / (VECTORS * BLOCK);
      gather_taps(c, padded, workspace.bytes[number], vectors, parts, taps);
      look_up(c, vectors, taps, workspace.taps, looked_up);
    }
    for (int v = 0; v < vectors; ++v) {
      const int64_t first = strip + v * BLOCK;
      const int count = int(std::min<int64_t>(BLOCK, positions - first));
      gather_groups(c, padded, seen, workspace.quads[first / BLOCK], quads, groups);
      const Results results = {
          c, target, positions, first, count, c.lookups ? looked_up + v * BLOCK : nullptr, vectors};
      const uint8_t *const *rows = workspace.rows.data();
      for (int b = 0; b < c.blocks; ++b) {
        multiply(c.block[b], workspace.chunks[size_t(b)], rows, seen.quarter, results);
        rows += c.block[b].segments;
      }
    }
  }
}

}  // namespace axynq::single_image
