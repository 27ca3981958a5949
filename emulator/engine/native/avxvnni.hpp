// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// AVX2 with a byte dot product (AVX-VNNI), for processors without AVX-512. instructions.hpp says
// what each part does.
#pragma once

#include "avx2.hpp"

namespace axynq::avxvnni {

using avx2::add;
using avx2::GROUP_LOOKUPS;
using avx2::look_up;
using avx2::LOOKUP_POSITIONS;
using avx2::map;
using avx2::map_and_interleave;
using avx2::map_planes;
using avx2::multiply;
using avx2::real_factor;
using avx2::requantise;
using avx2::Sums;
using avx2::Table;
using avx2::Thread;
using avx2::tile_products;
using avx2::tile_products_of_one;
using avx2::TILES;

constexpr bool WIDE_WEIGHTS = false;

template <int FILTERS>
inline void dot_products(const FilterBlock &block, const uint8_t *const *rows, int64_t quarter,
                         Sums sums[FILTERS]) {
  avx2::products<FILTERS>(block, rows, quarter, sums,
                          [](const uint8_t *x, const int8_t *weights, __m256i(*acc)[2]) {
                            const __m256i first = avx2::load(x), second = avx2::load(x + 32);
                            for (int f = 0; f < FILTERS; ++f) {
                              const __m256i w = avx2::repeated(weights + 4 * f);
                              acc[f][0] = _mm256_dpbusd_avx_epi32(acc[f][0], first, w);
                              acc[f][1] = _mm256_dpbusd_avx_epi32(acc[f][1], second, w);
                            }
                          });
}

}  // namespace axynq::avxvnni
