// Operators that do not multiply by weights, on one block of images.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "instructions.hpp"

namespace axynq {

// Maximum or average over windows' positions inside the map.
inline void pool(const Operator &op, const Tensor &in, const Tensor &out, const int8_t *from,
                 int8_t *to) {
  for (int channel = 0; channel < out.channels; ++channel)
    for (int row = 0; row < out.rows; ++row)
      for (int column = 0; column < out.columns; ++column, to += BLOCK) {
        const int top = row * op.stride_rows - op.padding_top;
        const int left = column * op.stride_columns - op.padding_left;
        const int bottom = std::min(top + op.window_rows, in.rows);
        const int right = std::min(left + op.window_columns, in.columns);
        int32_t totals[BLOCK];
        for (int n = 0; n < BLOCK; ++n) totals[n] = op.kind == MAX_POOL ? -128 : 0;
        int count = 0;
        for (int y = std::max(top, 0); y < bottom; ++y)
          for (int x = std::max(left, 0); x < right; ++x) {
            const int8_t *pixel =
                from + ((int64_t(channel) * in.rows + y) * in.columns + x) * BLOCK;
            ++count;
            if (op.kind == MAX_POOL)
              for (int n = 0; n < BLOCK; ++n) totals[n] = std::max<int32_t>(totals[n], pixel[n]);
            else
              for (int n = 0; n < BLOCK; ++n) totals[n] += pixel[n];
          }
        for (int n = 0; n < BLOCK; ++n) {
          int32_t value = totals[n];
          if (op.kind == AVERAGE_POOL)
            value = (value > 0 ? value + count / 2 : value - count / 2) / count;
          to[n] = quantised(value, 0, op.clamp_low, op.clamp_high);
        }
      }
}

// A sum of positions, and the byte that is made of it.
inline void reduce(const Operator &op, const Tensor &out, const int8_t *from, int8_t *to) {
  const int64_t positions = int64_t(out.rows) * out.columns * out.channels;
  for (int64_t p = 0; p < positions; ++p, to += BLOCK) {
    const int8_t *base = from + int64_t(op.first[p]) * BLOCK;
    int32_t totals[BLOCK] = {};
    for (int k = 0; k < op.terms; ++k) {
      const int8_t *term = base + int64_t(op.term[k]) * BLOCK;
      for (int n = 0; n < BLOCK; ++n) totals[n] += term[n];
    }
    int32_t reached[BLOCK] = {};  // thresholds
    for (int step = 128; step > 0; step /= 2)
      for (int n = 0; n < BLOCK; ++n)
        reached[n] += op.thresholds[reached[n] + step - 1] <= totals[n] ? step : 0;
    for (int n = 0; n < BLOCK; ++n) to[n] = int8_t(reached[n] - 128);
  }
}

inline void resize_bilinear(const Operator &op, const Tensor &in, const Tensor &out,
                            const int8_t *from, int8_t *to) {
  for (int channel = 0; channel < out.channels; ++channel)
    for (int row = 0; row < out.rows; ++row)
      for (int column = 0; column < out.columns; ++column, to += BLOCK) {
        const Between &y = op.row[row], &x = op.column[column];
        const auto pixel = [&](int at_row, int at_column) {
          return from + ((int64_t(channel) * in.rows + at_row) * in.columns + at_column) * BLOCK;
        };
        const int8_t *a = pixel(y.lower, x.lower), *b = pixel(y.lower, x.upper);
        const int8_t *c = pixel(y.upper, x.lower), *d = pixel(y.upper, x.upper);
        const int32_t of_a = y.lower_weight * x.lower_weight;
        const int32_t of_b = y.lower_weight * x.upper_weight;
        const int32_t of_c = y.upper_weight * x.lower_weight;
        const int32_t of_d = y.upper_weight * x.upper_weight;
        for (int n = 0; n < BLOCK; ++n) {
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

// 64 images [rows, columns, channels] to a planar block, and back. Images that do not exist repeat
// the last one.
inline void to_planar(const Tensor &tensor, const int8_t *images, int count, int8_t *planar) {
  const int64_t pixels = int64_t(tensor.rows) * tensor.columns;
  const int64_t elements = pixels * tensor.channels;
  for (int64_t p = 0; p < pixels; ++p)
    for (int c = 0; c < tensor.channels; ++c) {
      int8_t *to = planar + (c * pixels + p) * BLOCK;
      const int8_t *from = images + p * tensor.channels + c;
      for (int n = 0; n < BLOCK; ++n) to[n] = from[std::min(n, count - 1) * elements];
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
inline void transpose16(const int8_t *from, int64_t from_row, int8_t *to, int64_t to_row) {
  Sixteen rows[2][16];
  for (int i = 0; i < 16; ++i) std::memcpy(&rows[0][i], from + i * from_row, 16);
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
  for (int i = 0; i < 16; ++i) std::memcpy(to + i * to_row, &rows[0][i], 16);
}

inline void from_planar(const Tensor &tensor, const int8_t *planar, int count, int8_t *images) {
  const int64_t pixels = int64_t(tensor.rows) * tensor.columns;
  const int64_t elements = pixels * tensor.channels;
  const int whole_channels = tensor.channels / 16 * 16, whole_images = count / 16 * 16;
  for (int64_t p = 0; p < pixels; ++p) {
    const int8_t *from = planar + p * BLOCK;
    int8_t *to = images + p * tensor.channels;
    for (int c = 0; c < whole_channels; c += 16)
      for (int n = 0; n < whole_images; n += 16)
        transpose16(from + c * pixels * BLOCK + n, pixels * BLOCK, to + n * elements + c, elements);
    for (int c = 0; c < tensor.channels; ++c)
      for (int n = c < whole_channels ? whole_images : 0; n < count; ++n)
        to[n * elements + c] = from[c * pixels * BLOCK + n];
  }
}

}  // namespace axynq
