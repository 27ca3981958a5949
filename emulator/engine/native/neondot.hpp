// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// NEON with byte dot products, of signed bytes, and with FEAT_I8MM of unsigned times signed ones.
// instructions.hpp says what each part does.
#pragma once

#include <utility>

#include "neon.hpp"

namespace axynq::neondot {

using neon::add;
using neon::GROUP_LOOKUPS;
using neon::look_up;
using neon::LOOKUP_POSITIONS;
using neon::map;
using neon::map_and_interleave;
using neon::map_planes;
using neon::multiply;
using neon::real_factor;
using neon::requantise;
using neon::Sums;
using neon::Table;
using neon::Thread;
using neon::tile_products;
using neon::tile_products_of_one;
using neon::TILES;
using neon::WIDE_WEIGHTS;

// acc + the dot products of four bytes each of `x` with the four weights of that lane.
template <int LANE>
inline int32x4_t dot(int32x4_t acc, uint8x16_t x, int8x8_t weights) {
#ifdef __ARM_FEATURE_MATMUL_INT8
  return vusdotq_lane_s32(acc, x, weights, LANE);
#else
  return vdotq_lane_s32(acc, neon::as_signed(x), weights, LANE);
#endif
}

template <int... F>
inline void dot_products(std::integer_sequence<int, F...>, const FilterBlock &block,
                         const uint8_t *const *rows, int64_t quarter, Sums *sums) {
  constexpr int FILTERS = sizeof...(F), PAIRS = (FILTERS + 1) / 2;
#ifdef __ARM_FEATURE_MATMUL_INT8
  const neon::Missing missing = {};
  const uint8x16_t flip = vdupq_n_u8(0);
#else
  const neon::Missing missing = neon::missing_sums<FILTERS>(block);
  const uint8x16_t flip = vdupq_n_u8(0x80);
#endif
  for (int part = 0; part < 4; ++part) {
    int32x4_t acc[FILTERS][4];
    for (auto &of_filter : acc)
      for (auto &four : of_filter) four = vdupq_n_s32(0);
    const int8_t *weights = block.weights;
    for (int s = 0; s < block.segments; ++s) {
      const Segment &segment = block.segment[s];
      if (segment.shift)
        for (auto &of_filter : acc)
          for (auto &four : of_filter) four = vshlq_s32(four, vdupq_n_s32(segment.shift));
      const uint8_t *x = rows[s] + part * quarter;
      for (int g = 0; g < segment.groups; ++g, x += BLOCK, weights += 4 * FILTERS) {
        int8x8_t w[PAIRS];
        for (int k = 0; k < PAIRS; ++k) {
          int64_t eight = 0;
          std::memcpy(&eight, weights + 8 * k, 2 * k + 1 < FILTERS ? 8 : 4);
          w[k] = vcreate_s8(uint64_t(eight));
        }
        for (int j = 0; j < 4; ++j) {
          const uint8x16_t bytes = veorq_u8(vld1q_u8(x + 16 * j), flip);
          ((acc[F][j] = dot<F % 2>(acc[F][j], bytes, w[F / 2])), ...);
        }
      }
    }
    for (int f = 0; f < FILTERS; ++f)
      for (int j = 0; j < 4; ++j)
        sums[f].part[4 * part + j] = vaddq_s32(acc[f][j], vdupq_n_s32(missing.sum[f]));
  }
}

template <int FILTERS>
inline void dot_products(const FilterBlock &block, const uint8_t *const *rows, int64_t quarter,
                         Sums sums[FILTERS]) {
  dot_products(std::make_integer_sequence<int, FILTERS>(), block, rows, quarter, sums);
}

}  // namespace axynq::neondot
