// Exact dot products of byte planes and byte weights, a few filters at one output position.
#pragma once

#include "vectors.hpp"

namespace axynq {

// sums[f] = sum over the block's groups of four taps, for the 64 images.
// `rows[segment]` points to the first group of the segment at this output position.
template <int FILTERS>
inline void dot_products(const FilterBlock &block, const uint8_t *const *rows, Sums sums[FILTERS]) {
  const int8_t *weights = block.weights;
#if defined(AXYNQ_PATH_AVX512)
  __m512i acc[FILTERS][4];
  for (int f = 0; f < FILTERS; ++f)
    for (int j = 0; j < 4; ++j) acc[f][j] = _mm512_setzero_si512();
  for (int s = 0; s < block.segments; ++s) {
    const Segment &segment = block.segment[s];
    if (segment.shift)
      for (int f = 0; f < FILTERS; ++f)
        for (int j = 0; j < 4; ++j)
          acc[f][j] = _mm512_slli_epi32(acc[f][j], unsigned(segment.shift));
    const uint8_t *x = rows[s];
    for (int g = 0; g < segment.groups; ++g, x += 4 * BLOCK, weights += 4 * FILTERS) {
      __m512i a[4];
      for (int j = 0; j < 4; ++j) a[j] = _mm512_load_si512(x + 64 * j);
      for (int f = 0; f < FILTERS; ++f) {
        int32_t four;
        std::memcpy(&four, weights + 4 * f, 4);
        const __m512i w = _mm512_set1_epi32(four);
        for (int j = 0; j < 4; ++j) acc[f][j] = _mm512_dpbusd_epi32(acc[f][j], a[j], w);
      }
    }
  }
  for (int f = 0; f < FILTERS; ++f)
    for (int j = 0; j < 4; ++j) sums[f].part[j] = acc[f][j];
#elif defined(AXYNQ_PATH_AVX2)
  // Without a byte dot product: bytes 0 and 2, then 1 and 3, as pairs of 16 bits; the weights come
  // widened, in that order. Sixteen sums at a time.
  const auto load = [](const void *from) {
    return _mm256_load_si256(static_cast<const __m256i *>(from));
  };
  for (int part = 0; part < 4; ++part) {
    __m256i acc[FILTERS][2];
    for (int f = 0; f < FILTERS; ++f) acc[f][0] = acc[f][1] = _mm256_setzero_si256();
    const int8_t *w = weights;
    for (int s = 0; s < block.segments; ++s) {
      const Segment &segment = block.segment[s];
      if (segment.shift)
        for (int f = 0; f < FILTERS; ++f)
          for (int j = 0; j < 2; ++j) acc[f][j] = _mm256_slli_epi32(acc[f][j], segment.shift);
      const uint8_t *x = rows[s] + 64 * part;
      for (int g = 0; g < segment.groups; ++g, x += 4 * BLOCK, w += 8 * FILTERS) {
        const auto multiply = [&](__m256i first, __m256i second, int pair) {
          for (int f = 0; f < FILTERS; ++f) {
            int32_t two;
            std::memcpy(&two, w + 8 * f + 4 * pair, 4);
            const __m256i both = _mm256_set1_epi32(two);
            acc[f][0] = _mm256_add_epi32(acc[f][0], _mm256_madd_epi16(first, both));
            acc[f][1] = _mm256_add_epi32(acc[f][1], _mm256_madd_epi16(second, both));
          }
        };
        const __m256i low_byte = _mm256_set1_epi16(0x00FF);
        multiply(_mm256_and_si256(load(x), low_byte), _mm256_and_si256(load(x + 32), low_byte), 0);
        multiply(_mm256_srli_epi16(load(x), 8), _mm256_srli_epi16(load(x + 32), 8), 1);
      }
    }
    for (int f = 0; f < FILTERS; ++f)
      for (int j = 0; j < 2; ++j)
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(sums[f].part + 16 * part + 8 * j),
                            acc[f][j]);
  }
#else
  std::memset(sums, 0, FILTERS * sizeof(Sums));
  for (int s = 0; s < block.segments; ++s) {
    const Segment &segment = block.segment[s];
    if (segment.shift)
      for (int f = 0; f < FILTERS; ++f) sums[f].shift_left(segment.shift);
    const uint8_t *x = rows[s];
    for (int g = 0; g < segment.groups; ++g, x += 4 * BLOCK, weights += 4 * FILTERS)
      for (int f = 0; f < FILTERS; ++f) {
        const int8_t *w = weights + 4 * f;
        int32_t *sum = sums[f].part;
        for (int k = 0; k < BLOCK; ++k)
          sum[k] += x[4 * k] * w[0] + x[4 * k + 1] * w[1] + x[4 * k + 2] * w[2] + x[4 * k + 3] * w[3];
      }
  }
#endif
  if (block.final_shift)
    for (int f = 0; f < FILTERS; ++f) sums[f].shift_left(block.final_shift);
}

}  // namespace axynq
