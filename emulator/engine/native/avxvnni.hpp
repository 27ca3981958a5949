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

// Sixteen images at a time, whose sums fit the registers.
template <int FILTERS>
inline void dot_products(const FilterBlock &block, const uint8_t *const *rows, int64_t quarter,
                         Sums sums[FILTERS]) {
  for (int part = 0; part < 4; ++part) {
    __m256i acc[FILTERS][2];
    for (int f = 0; f < FILTERS; ++f) acc[f][0] = acc[f][1] = _mm256_setzero_si256();
    const int8_t *weights = block.weights;
    for (int s = 0; s < block.segments; ++s) {
      const Segment &segment = block.segment[s];
      if (segment.shift)
        for (int f = 0; f < FILTERS; ++f)
          for (int j = 0; j < 2; ++j) acc[f][j] = _mm256_slli_epi32(acc[f][j], segment.shift);
      const uint8_t *x = rows[s] + part * quarter;
      for (int g = 0; g < segment.groups; ++g, x += BLOCK, weights += 4 * FILTERS) {
        const __m256i first = avx2::load(x), second = avx2::load(x + 32);
        for (int f = 0; f < FILTERS; ++f) {
          int32_t four;
          std::memcpy(&four, weights + 4 * f, 4);
          const __m256i w = _mm256_set1_epi32(four);
          acc[f][0] = _mm256_dpbusd_avx_epi32(acc[f][0], first, w);
          acc[f][1] = _mm256_dpbusd_avx_epi32(acc[f][1], second, w);
        }
      }
    }
    for (int f = 0; f < FILTERS; ++f)
      for (int j = 0; j < 2; ++j) sums[f].part[2 * part + j] = acc[f][j];
  }
}

}  // namespace axynq::avxvnni
