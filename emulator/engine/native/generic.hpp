// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Plain C++ that any compiler vectorises as it can. instructions.hpp says what each part does.
#pragma once

#include "scalar.hpp"

namespace axynq::generic {

constexpr bool WIDE_WEIGHTS = false;
constexpr bool GROUP_LOOKUPS = false;
constexpr int LOOKUP_POSITIONS = 8;
constexpr bool TILES = false;
using Thread = NoThread;
constexpr auto tile_products = no_tile_products;
constexpr auto tile_products_of_one = no_tile_products_of_one;
constexpr auto real_factor = no_real_factor;

struct Sums {
  int32_t part[BLOCK];

  void load(const int32_t *values) { std::memcpy(part, values, sizeof part); }
  void add(int32_t value) {
    for (int k = 0; k < BLOCK; ++k) part[k] += value;
  }
  void add(const int32_t *values) {
    for (int k = 0; k < BLOCK; ++k) part[k] += values[k];
  }
  void shift_left(int bits) {
    for (int k = 0; k < BLOCK; ++k) part[k] = int32_t(uint32_t(part[k]) << bits);
  }
  void store_in_order(int32_t *to) const {
    for (int k = 0; k < BLOCK; ++k) to[quad_image(k)] = part[k];
  }
};

struct Table {
  const uint8_t *bytes;
  explicit Table(const uint8_t *table, bool = false) : bytes(table) {}
};

inline void map_and_interleave(const Table &table, const uint8_t *const from[4],
                               const uint8_t *padding, uint8_t *to, int64_t quarter) {
  for (int k = 0; k < BLOCK; ++k) {
    const int n = quad_image(k);
    uint8_t *four = to + k / 16 * quarter + 4 * (k % 16);
    for (int j = 0; j < 4; ++j) four[j] = from[j] == padding ? from[j][n] : table.bytes[from[j][n]];
  }
}

template <int FILTERS>
inline void dot_products(const FilterBlock &block, const uint8_t *const *rows, int64_t quarter,
                         Sums sums[FILTERS]) {
  const int8_t *weights = block.weights;
  std::memset(sums, 0, FILTERS * sizeof(Sums));
  for (int s = 0; s < block.segments; ++s) {
    const Segment &segment = block.segment[s];
    if (segment.shift)
      for (int f = 0; f < FILTERS; ++f) sums[f].shift_left(segment.shift);
    const uint8_t *x = rows[s];
    for (int g = 0; g < segment.groups; ++g, x += BLOCK, weights += 4 * FILTERS)
      for (int f = 0; f < FILTERS; ++f) {
        const int8_t *w = weights + 4 * f;
        for (int j = 0; j < 4; ++j) {
          const uint8_t *a = x + j * quarter;
          int32_t *sum = sums[f].part + 16 * j;
          for (int k = 0; k < 16; ++k)
            sum[k] +=
                a[4 * k] * w[0] + a[4 * k + 1] * w[1] + a[4 * k + 2] * w[2] + a[4 * k + 3] * w[3];
        }
      }
  }
}

template <int POSITIONS>
inline void look_up(const Convolution &c, const LookupFilter &filter, const uint8_t *const *rows,
                    int64_t step, int32_t *sums) {
  int32_t totals[POSITIONS * BLOCK] = {};
  for (int t = 0; t < filter.taps; ++t) {
    const LookupTap &tap = filter.tap[t];
    const uint8_t *table = c.lookup_tables + tap.table;
    for (int p = 0; p < POSITIONS; ++p) {
      const uint8_t *x = rows[tap.kernel_row] + tap.offset + p * step;
      int32_t *total = totals + p * BLOCK;
      for (int n = 0; n < BLOCK; ++n) total[n] += table[x[n]];
    }
  }
  for (int p = 0; p < POSITIONS; ++p)
    for (int k = 0; k < BLOCK; ++k)
      sums[p * BLOCK + k] += totals[p * BLOCK + quad_image(k)] << filter.shift;
}

inline void requantise(const Sums &sums, const Requantisation &r, int8_t *to) {
  int32_t values[BLOCK];
  sums.store_in_order(values);
  scalar::requantise(values, r, to);
}

using scalar::add;
using scalar::map;
using scalar::map_planes;
using scalar::multiply;

}  // namespace axynq::generic
