// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Operators that do not multiply by weights, on one block of images; those that are templates also
// on one image: IMAGES is how many lie side by side.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "instructions.hpp"

namespace axynq {

using Bytes = int8_t __attribute__((vector_size(BLOCK)));

// Sums of the 64 images' bytes, in 16 bits as long as they fit.
class ByteSums {
 public:
  void add(const int8_t *bytes) {
    Bytes half;
    for (int h = 0; h < HALVES; ++h) {
      std::memcpy(&half, bytes + h * sizeof half, sizeof half);
      part_[h] += __builtin_convertvector(half, Words);
    }
    if (++terms_ == 256) flush();
  }
  const int32_t *sums() {
    flush();
    return sums_;
  }

 private:
  static constexpr int HALVES = 2;
  using Bytes = int8_t __attribute__((vector_size(BLOCK / HALVES)));
  using Words = int16_t __attribute__((vector_size(2 * BLOCK / HALVES)));

  void flush() {
    int16_t words[BLOCK];
    std::memcpy(words, part_, sizeof words);
    for (int n = 0; n < BLOCK; ++n) sums_[n] += words[n];
    for (Words &part : part_) part = Words{};
    terms_ = 0;
  }

  Words part_[HALVES] = {};
  int32_t sums_[BLOCK] = {};
  int terms_ = 0;
};

// Sums of `count` bytes each to averages, halves away from zero. The quotients are far enough from
// the next integer for a division of floating-point numbers that hold the sums.
template <class Real>
inline void average(const int32_t *sums, int values, int count, const Operator &op, int8_t *to) {
  for (int n = 0; n < values; ++n) {
    const int32_t magnitude = int32_t(Real(std::abs(sums[n]) + count / 2) / Real(count));
    const int32_t value = sums[n] < 0 ? -magnitude : magnitude;
    to[n] = int8_t(std::min(std::max(value, op.clamp_low), op.clamp_high));
  }
}

inline void average(const int32_t *sums, int values, int count, const Operator &op, int8_t *to) {
  constexpr int FLOAT_HOLDS = 1 << 16;  // sums of so many bytes
  if (count <= FLOAT_HOLDS)
    average<float>(sums, values, count, op, to);
  else
    average<double>(sums, values, count, op, to);
}

// What `position` makes of the part of its window inside the map: top, bottom, left and right.
template <class Position>
inline void each_window(const Operator &op, const Tensor &in, const Tensor &out, const int8_t *from,
                        int8_t *to, const Position &position) {
  const int64_t plane = int64_t(in.rows) * in.columns * BLOCK;
  for (int channel = 0; channel < out.channels; ++channel, from += plane)
    for (int row = 0; row < out.rows; ++row)
      for (int column = 0; column < out.columns; ++column, to += BLOCK) {
        const int top = row * op.stride_rows - op.padding_top;
        const int left = column * op.stride_columns - op.padding_left;
        position(from, std::max(top, 0), std::min(top + op.window_rows, in.rows), std::max(left, 0),
                 std::min(left + op.window_columns, in.columns), to);
      }
}

inline void max_pool(const Operator &op, const Tensor &in, const Tensor &out, const int8_t *from,
                     int8_t *to) {
  each_window(op, in, out, from, to,
              [&](const int8_t *plane, int top, int bottom, int left, int right, int8_t *largest) {
                Bytes found = Bytes{} + int8_t(op.clamp_low), pixel;
                for (int y = top; y < bottom; ++y)
                  for (int x = left; x < right; ++x) {
                    std::memcpy(&pixel, plane + (int64_t(y) * in.columns + x) * BLOCK, BLOCK);
                    found = pixel > found ? pixel : found;
                  }
                const Bytes high = Bytes{} + int8_t(op.clamp_high);
                found = found > high ? high : found;
                std::memcpy(largest, &found, BLOCK);
              });
}

inline void average_pool(const Operator &op, const Tensor &in, const Tensor &out,
                         const int8_t *from, int8_t *to) {
  each_window(op, in, out, from, to,
              [&](const int8_t *plane, int top, int bottom, int left, int right, int8_t *mean) {
                ByteSums total;
                for (int y = top; y < bottom; ++y)
                  for (int x = left; x < right; ++x)
                    total.add(plane + (int64_t(y) * in.columns + x) * BLOCK);
                const int count = (bottom - top) * (right - left);
                average(total.sums(), BLOCK, count, op, mean);
              });
}

// Sums of positions to the bytes that are made of them.
template <int VALUES>
inline void reduced(const Operator &op, const int32_t *sums, int8_t *to) {
  if (op.tables) {
    const uint8_t *made = op.tables + 128 * op.terms;
    for (int n = 0; n < VALUES; ++n) to[n] = int8_t(made[sums[n]]);
    return;
  }
  int32_t reached[VALUES] = {};  // thresholds
  for (int step = 128; step > 0; step /= 2)
    for (int n = 0; n < VALUES; ++n)
      reached[n] += op.thresholds[reached[n] + step - 1] <= sums[n] ? step : 0;
  for (int n = 0; n < VALUES; ++n) to[n] = int8_t(reached[n] - 128);
}

inline void reduce(const Operator &op, const Tensor &out, const int8_t *from, int8_t *to) {
  const int64_t positions = int64_t(out.rows) * out.columns * out.channels;
  for (int64_t p = 0; p < positions; ++p, to += BLOCK) {
    const int8_t *base = from + int64_t(op.first[p]) * BLOCK;
    ByteSums total;
    for (int k = 0; k < op.terms; ++k) total.add(base + int64_t(op.term[k]) * BLOCK);
    reduced<BLOCK>(op, total.sums(), to);
  }
}

template <int IMAGES>
inline void resize_bilinear(const Operator &op, const Tensor &in, const Tensor &out,
                            const int8_t *from, int8_t *to) {
  for (int channel = 0; channel < out.channels; ++channel)
    for (int row = 0; row < out.rows; ++row)
      for (int column = 0; column < out.columns; ++column, to += IMAGES) {
        const Between &y = op.row[row], &x = op.column[column];
        const auto pixel = [&](int at_row, int at_column) {
          return from + ((int64_t(channel) * in.rows + at_row) * in.columns + at_column) * IMAGES;
        };
        const int8_t *a = pixel(y.lower, x.lower), *b = pixel(y.lower, x.upper);
        const int8_t *c = pixel(y.upper, x.lower), *d = pixel(y.upper, x.upper);
        const int32_t of_a = y.lower_weight * x.lower_weight;
        const int32_t of_b = y.lower_weight * x.upper_weight;
        const int32_t of_c = y.upper_weight * x.lower_weight;
        const int32_t of_d = y.upper_weight * x.upper_weight;
        for (int n = 0; n < IMAGES; ++n) {
          const int32_t sum = a[n] * of_a + b[n] * of_b + c[n] * of_c + d[n] * of_d;
          // Halves away from zero.
          const int32_t magnitude = (std::abs(sum) + (1 << 19)) >> 20;
          to[n] = int8_t(sum < 0 ? -magnitude : magnitude);
        }
      }
}

// Every position's bytes through a table.
inline void map(const Operator &op, const int8_t *from, int8_t *to) {
  for (int k = 0; k < op.runs; ++k) {
    const Run &run = op.run[k];
    instructions::map(op.tables + 256 * run.source, int64_t(run.count) * BLOCK,
                      from + int64_t(run.first) * BLOCK, to);
    to += int64_t(run.count) * BLOCK;
  }
}

using Sixteen = int8_t __attribute__((vector_size(16)));

#if defined(__clang__) || __GNUC__ >= 12
#define AXYNQ_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define AXYNQ_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Sixteen{__VA_ARGS__})
#endif

// Sixteen rows of sixteen bytes to columns. Each round puts half of the rows between the others,
// which turns the bits of an element's row and column by one.
inline void transpose16(const int8_t *const from[16], int8_t *const to[16], int64_t to_offset) {
  Sixteen rows[2][16];
  for (int i = 0; i < 16; ++i) std::memcpy(&rows[0][i], from[i], 16);
  for (int round = 0; round < 4; ++round) {
    const Sixteen *in = rows[round % 2];
    Sixteen *out = rows[1 - round % 2];
    for (int i = 0; i < 8; ++i) {
      out[2 * i] =
          AXYNQ_SHUFFLE(in[i], in[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      out[2 * i + 1] = AXYNQ_SHUFFLE(in[i], in[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29,
                                     14, 30, 15, 31);
    }
  }
  for (int i = 0; i < 16; ++i) std::memcpy(to[i] + to_offset, &rows[0][i], 16);
}

// Where the values of an image lie in a planar block, one after another.
class Places {
 public:
  explicit Places(const Tensor &tensor)
      : pixels_(int64_t(tensor.rows) * tensor.columns), channels_(tensor.channels) {}
  int64_t elements() const { return pixels_ * channels_; }
  int64_t next() {
    const int64_t place = (channel_ * pixels_ + pixel_) * BLOCK;
    if (++channel_ == channels_) channel_ = 0, ++pixel_;
    return place;
  }

 private:
  int64_t pixels_, channels_, channel_ = 0, pixel_ = 0;
};

// 64 images [rows, columns, channels] to a planar block, and back. Images that do not exist repeat
// the last one.
inline void to_planar(const Tensor &tensor, const int8_t *images, int count, int8_t *planar) {
  Places places(tensor);
  const int64_t elements = places.elements(), whole = elements / 16 * 16;
  const auto image = [&](int n) { return images + std::min(n, count - 1) * elements; };
  int64_t e = 0;
  for (; e < whole; e += 16) {
    int8_t *to[16];
    for (int8_t *&row : to) row = planar + places.next();
    for (int n = 0; n < BLOCK; n += 16) {
      const int8_t *from[16];
      for (int i = 0; i < 16; ++i) from[i] = image(n + i) + e;
      transpose16(from, to, n);
    }
  }
  for (; e < elements; ++e) {
    int8_t *to = planar + places.next();
    for (int n = 0; n < BLOCK; ++n) to[n] = image(n)[e];
  }
}

inline void from_planar(const Tensor &tensor, const int8_t *planar, int count, int8_t *images) {
  Places places(tensor);
  const int64_t elements = places.elements(), whole = elements / 16 * 16;
  const int whole_images = count / 16 * 16;
  for (int64_t e = 0; e < elements;) {
    const int values = e < whole ? 16 : 1;
    const int8_t *planes[16];
    for (int i = 0; i < values; ++i) planes[i] = planar + places.next();
    int n = 0;
    for (; values == 16 && n < whole_images; n += 16) {
      const int8_t *from[16];
      int8_t *to[16];
      for (int i = 0; i < 16; ++i) {
        from[i] = planes[i] + n;
        to[i] = images + (n + i) * elements;
      }
      transpose16(from, to, e);
    }
    for (; n < count; ++n)
      for (int i = 0; i < values; ++i) images[n * elements + e + i] = planes[i][n];
    e += values;
  }
}

}  // namespace axynq
