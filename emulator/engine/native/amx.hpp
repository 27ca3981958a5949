// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// AVX-512, and AMX for layers with many channels. instructions.hpp says what each part does.
#pragma once

#include "avx512.hpp"

namespace axynq::amx {

using avx512::add;
using avx512::dot_products;
using avx512::GROUP_LOOKUPS;
using avx512::look_up;
using avx512::LOOKUP_POSITIONS;
using avx512::map;
using avx512::map_and_interleave;
using avx512::map_planes;
using avx512::multiply;
using avx512::real_factor;
using avx512::requantise;
using avx512::Sums;
using avx512::Table;
using avx512::WIDE_WEIGHTS;

constexpr bool TILES = true;

// Tiles of 16 rows of 64 bytes: 0 to 3 hold the sums of 16 filters for 16 images, of an output
// position each; 4 holds the weights of 16 filters, 5 to 7 activations.
struct Thread {
  Thread() {
    alignas(64) struct {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } shapes;
    _tile_loadconfig(&shapes);
  }
  ~Thread() { _tile_release(); }
  Thread(const Thread &) = delete;
  Thread &operator=(const Thread &) = delete;
};

namespace detail {

constexpr int IMAGES = 16, ROW = BLOCK * sizeof(int32_t), POSITION = MOST_FILTERS * BLOCK;

// Tiles are named by constants. Sums are [position][filter][image], so many apart from position to
// position.
template <int POSITIONS>
inline void clear() {
  _tile_zero(0);
  if (POSITIONS > 1) _tile_zero(1);
  if (POSITIONS > 2) _tile_zero(2);
  if (POSITIONS > 3) _tile_zero(3);
}

template <int POSITIONS>
inline void load(const int32_t *from, int64_t apart) {
  _tile_loadd(0, from, ROW);
  if (POSITIONS > 1) _tile_loadd(1, from + apart, ROW);
  if (POSITIONS > 2) _tile_loadd(2, from + 2 * apart, ROW);
  if (POSITIONS > 3) _tile_loadd(3, from + 3 * apart, ROW);
}

template <int POSITIONS>
inline void store(int32_t *to, int64_t apart) {
  _tile_stored(0, to, ROW);
  if (POSITIONS > 1) _tile_stored(1, to + apart, ROW);
  if (POSITIONS > 2) _tile_stored(2, to + 2 * apart, ROW);
  if (POSITIONS > 3) _tile_stored(3, to + 3 * apart, ROW);
}

inline void shift_left(int32_t *sums, int count, int bits) {
  for (int k = 0; k < count; k += IMAGES)
    _mm512_store_si512(sums + k, _mm512_slli_epi32(_mm512_load_si512(sums + k), unsigned(bits)));
}

template <int POSITIONS>
inline void multiply(const int8_t *weights, const uint8_t *x, int64_t step) {
  constexpr int GROUP = BLOCK;
  _tile_loadd(4, weights, 64);
  _tile_loadd(5, x, GROUP);
  _tile_dpbsud(0, 4, 5);
  if (POSITIONS > 1) {
    _tile_loadd(6, x + step, GROUP);
    _tile_dpbsud(1, 4, 6);
  }
  if (POSITIONS > 2) {
    _tile_loadd(7, x + 2 * step, GROUP);
    _tile_dpbsud(2, 4, 7);
  }
  if (POSITIONS > 3) {
    _tile_loadd(5, x + 3 * step, GROUP);
    _tile_dpbsud(3, 4, 5);
  }
}

// Sixteen images of each position, whose activations `step_of` a segment are apart.
template <int POSITIONS, class StepOf>
inline void add_products(const TileChunk &chunk, const uint8_t *const *rows, int64_t offset,
                         const StepOf &step_of, int32_t *sums, int64_t apart) {
  if (chunk.opens)
    clear<POSITIONS>();
  else
    load<POSITIONS>(sums, apart);
  const int8_t *weights = chunk.weights;
  for (int s = 0; s < chunk.segments; ++s) {
    const uint8_t *x = rows[s] + offset;
    for (int g = 0; g < chunk.segment[s].groups; g += TILE_GROUPS) {
      multiply<POSITIONS>(weights, x, step_of(s));
      x += TILE_GROUPS * BLOCK;
      weights += TILE_GROUPS * 4 * MOST_FILTERS;
    }
  }
  store<POSITIONS>(sums, apart);
}

// Groups of four taps are rows of the second operand just as interleaving leaves them: a quarter of
// the images is 16 columns of four bytes. Neighbouring positions see most of the same groups, and a
// quarter of the images at a time keeps those in the first-level cache.
template <int POSITIONS>
inline void tile_products(const TileChunk &chunk, const uint8_t *const *rows, const int64_t *steps,
                          int64_t quarter, int32_t *sums) {
  if (chunk.shift) shift_left(sums, POSITIONS * POSITION, chunk.shift);
  for (int part = 0; part < BLOCK / IMAGES; ++part, sums += IMAGES)
    add_products<POSITIONS>(
        chunk, rows, part * quarter, [&](int s) { return steps[s]; }, sums, POSITION);
}

}  // namespace detail

inline void tile_products(const TileChunk &chunk, const uint8_t *const *rows, const int64_t *steps,
                          int positions, int64_t quarter, int32_t *sums) {
  switch (positions) {
    case 1:
      return detail::tile_products<1>(chunk, rows, steps, quarter, sums);
    case 2:
      return detail::tile_products<2>(chunk, rows, steps, quarter, sums);
    case 3:
      return detail::tile_products<3>(chunk, rows, steps, quarter, sums);
    default:
      return detail::tile_products<4>(chunk, rows, steps, quarter, sums);
  }
}

// The quarters of one position are as good as positions.
inline void tile_products_of_one(const TileChunk &chunk, const uint8_t *const *rows,
                                 int64_t quarter, int32_t *sums) {
  if (chunk.shift) detail::shift_left(sums, detail::POSITION, chunk.shift);
  detail::add_products<BLOCK / detail::IMAGES>(
      chunk, rows, 0, [&](int) { return quarter; }, sums, detail::IMAGES);
}

}  // namespace axynq::amx
