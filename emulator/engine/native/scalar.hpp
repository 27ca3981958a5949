// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// What every instruction set may fall back upon, a value at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "abi.hpp"

namespace axynq {

// Sums of the 64 images. In memory their order is "quad order": the order in which interleaving
// four bytes leaves them and packing restores. Element 16 j + 4 L + e belongs to image
// 16 L + 4 j + e.
constexpr int quad_image(int element) {
  return 16 * (element / 4 % 4) + 4 * (element / 16) + element % 4;
}

// The high half of a doubled product, rounded halves up, then a division by a power of two that
// rounds halves away from zero: TFLite's requantisation. A left shift comes first and saturates.
inline int32_t rescale(int32_t value, int32_t multiplier, int32_t shift) {
  int64_t widened = int64_t(value) * (int64_t(1) << (shift > 0 ? shift : 0));
  if (widened > INT32_MAX) widened = INT32_MAX;
  if (widened < INT32_MIN) widened = INT32_MIN;
  const int64_t high = (widened * multiplier + (int64_t(1) << 30)) >> 31;
  if (shift >= 0) return int32_t(high);
  const int64_t half = int64_t(1) << (-shift - 1);
  return int32_t((high + half - (high < 0 ? 1 : 0)) >> -shift);
}

// A rescaled value as int8; adding the zero point must not leave 32 bits.
inline int8_t quantised(int32_t value, int32_t zero_point, int32_t low, int32_t high) {
  const int64_t y = int64_t(value) + zero_point;
  return int8_t(y < low ? low : y > high ? high : y);
}

// Every byte in its place: a table that changes nothing.
alignas(64) constexpr struct EveryByte {
  uint8_t byte[256] = {};
  constexpr EveryByte() {
    for (int k = 0; k < 256; ++k) byte[k] = uint8_t(k);
  }
} EVERY_BYTE;

// Whether planes of a stack all are sums of tables of half bytes.
inline bool all_halves(const HalfTables *halves, int planes) {
  for (int k = 0; k < planes; ++k)
    if (!halves[k].exist) return false;
  return true;
}

// How sums become bytes.
struct Requantisation {
  int32_t multiplier, shift, zero_point, low, high;
  RealFactor real;
};

constexpr int ADD_LEFT_SHIFT = 20;  // operands of an addition are widened by so many bits

// What rounds in real numbers: a half, and the half that the first of both roundings adds.
inline float real_half(int32_t shift) {
  return 0.5f + (shift < 0 ? 0.5f / float(int64_t(1) << -shift) : 0.0f);
}

// A factor in real numbers; zero where some value would become another. It is enough to look at the
// values where results change, because both functions never fall: `holds(values, count, factor)`
// tells whether all become the same.
template <class Holds>
inline RealFactor checked_real_factor(int32_t multiplier, int32_t shift, const Holds &holds) {
  constexpr int RESULTS = 512, AROUND = 5;
  if (shift >= 0 || shift < -30) return {0, 0};
  const double factor = double(multiplier) / double(int64_t(1) << (31 - shift));
  const float high = float(factor);
  const RealFactor real = {high, float(factor - double(high))};
  alignas(64) int32_t values[2 * RESULTS * AROUND];
  int count = 0;
  for (int t = 1; t <= RESULTS; ++t)
    for (int k = 0; k < AROUND; ++k) {
      const double place = (t - 0.5) / factor + (k - 2.5);
      const int32_t value = place < INT32_MAX ? int32_t(place) : INT32_MAX;
      values[count++] = value;
      values[count++] = -value;
    }
  return holds(values, count, real) ? real : RealFactor{0, 0};
}

// For sets that rescale whole numbers only.
inline RealFactor no_real_factor(int32_t, int32_t) { return {0, 0}; }

// Segments of a block in tiles that are computed together, lest their weights leave the caches.
struct TileChunk {
  const Segment *segment;
  int segments;
  const int8_t *weights;
  int stack;   // that all segments are of
  bool opens;  // whether it is the block's first
  int shift;   // sums before it are shifted left by this
};

// For sets without a matrix unit.
struct NoThread {};
inline void no_tile_products(const TileChunk &, const uint8_t *const *, const int64_t *, int,
                             int64_t, int32_t *) {}
inline void no_tile_products_of_one(const TileChunk &, const uint8_t *const *, int64_t, int32_t *) {
}

namespace scalar {

// 64 sums, in the images' order, to bytes.
inline void requantise(const int32_t *values, const Requantisation &r, int8_t *to) {
  for (int n = 0; n < BLOCK; ++n)
    to[n] = quantised(rescale(values[n], r.multiplier, r.shift), r.zero_point, r.low, r.high);
}

// What `pair` makes of every two values that an operator pairs.
template <class Pair>
inline void each_pair(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to,
                      const Pair &pair) {
  for (int k = 0; k < op.runs; ++k) {
    const Pairing &pairing = op.pairing[k];
    for (int p = 0; p < pairing.count; ++p, to += BLOCK) {
      const int8_t *x = a + (pairing.first + int64_t(pairing.first_step) * p) * BLOCK;
      const int8_t *y = b + (pairing.second + int64_t(pairing.second_step) * p) * BLOCK;
      for (int n = 0; n < BLOCK; ++n) to[n] = pair(x[n], y[n]);
    }
  }
}

// Sums and differences.
inline void add(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to) {
  // Each operand has 256 values: rescale those once.
  int32_t table_a[256], table_b[256];
  for (int x = -128; x < 128; ++x) {
    table_a[x + 128] =
        rescale((x - op.input_zero_point) * (1 << ADD_LEFT_SHIFT), op.multiplier[0], op.shift[0]);
    table_b[x + 128] =
        rescale((x - op.second_zero_point) * (1 << ADD_LEFT_SHIFT), op.multiplier[1], op.shift[1]);
    if (op.kind == SUBTRACT) table_b[x + 128] = -table_b[x + 128];
  }
  each_pair(op, a, b, to, [&](int8_t x, int8_t y) {
    return quantised(rescale(table_a[x + 128] + table_b[y + 128], op.multiplier[2], op.shift[2]),
                     op.output_zero_point, op.clamp_low, op.clamp_high);
  });
}

inline void multiply(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to) {
  each_pair(op, a, b, to, [&](int8_t x, int8_t y) {
    const int32_t product = (x - op.input_zero_point) * (y - op.second_zero_point);
    return quantised(rescale(product, op.multiplier[0], op.shift[0]), op.output_zero_point,
                     op.clamp_low, op.clamp_high);
  });
}

inline void maximum(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to) {
  each_pair(op, a, b, to, [&](int8_t x, int8_t y) {
    return std::clamp(x > y ? x : y, int8_t(op.clamp_low), int8_t(op.clamp_high));
  });
}

inline void minimum(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to) {
  each_pair(op, a, b, to, [&](int8_t x, int8_t y) {
    return std::clamp(x < y ? x : y, int8_t(op.clamp_low), int8_t(op.clamp_high));
  });
}

// Where the first value is negative, it is multiplied by the second.
inline void prelu(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to) {
  each_pair(op, a, b, to, [&](int8_t x, int8_t y) {
    const int32_t value = x - op.input_zero_point;
    const int32_t scaled =
        value < 0 ? rescale(value * (y - op.second_zero_point), op.multiplier[1], op.shift[1])
                  : rescale(value, op.multiplier[0], op.shift[0]);
    return quantised(scaled, op.output_zero_point, op.clamp_low, op.clamp_high);
  });
}

inline void map(const uint8_t *table, int64_t count, const int8_t *from, int8_t *to) {
  for (int64_t i = 0; i < count; ++i) to[i] = int8_t(table[uint8_t(from[i])]);
}

inline void map_planes(const uint8_t *tables, const HalfTables *, int planes, int64_t runs,
                       int64_t bytes, const uint8_t *from, uint8_t *to) {
  for (; runs > 0; --runs, from += bytes)
    for (int k = 0; k < planes; ++k, to += bytes)
      for (int64_t i = 0; i < bytes; ++i) to[i] = tables[256 * k + from[i]];
}

}  // namespace scalar

}  // namespace axynq
