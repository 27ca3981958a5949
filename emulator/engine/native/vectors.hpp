// Sixty-four bytes or thirty-two-bit sums at a time, in the instructions of the path compiled for.
//
// Three paths: AVX-512 with VNNI and VBMI, AVX2, and plain C++ that any compiler vectorises as it
// can. All compute the same integers.
#pragma once

#include <cstdint>
#include <cstring>

#include "abi.hpp"

#if defined(AXYNQ_PATH_AVX512)
#include <immintrin.h>
#elif defined(AXYNQ_PATH_AVX2)
#include <immintrin.h>
#endif

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

#if defined(AXYNQ_PATH_AVX512)

// A table of 256 bytes held in registers.
struct Table {
  __m512i part[4];
  explicit Table(const uint8_t *bytes) {
    for (int k = 0; k < 4; ++k) part[k] = _mm512_loadu_si512(bytes + 64 * k);
  }
  __m512i operator()(__m512i index) const {
    const __m512i low = _mm512_permutex2var_epi8(part[0], index, part[1]);
    const __m512i high = _mm512_permutex2var_epi8(part[2], index, part[3]);
    return _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(index), high);
  }
};


// Four vectors of 64 bytes, each through the table, to 64 groups of four bytes in quad order.
// A vector at `padding` is not looked up: it is constant already.
inline void map_and_interleave(const Table &table, const uint8_t *const from[4],
                               const uint8_t *padding, uint8_t *to) {
  __m512i mapped[4];
  for (int k = 0; k < 4; ++k) {
    const __m512i bytes = _mm512_loadu_si512(from[k]);
    mapped[k] = from[k] == padding ? bytes : table(bytes);
  }
  const __m512i a = mapped[0], b = mapped[1], c = mapped[2], d = mapped[3];
  const __m512i ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
  const __m512i cd_low = _mm512_unpacklo_epi8(c, d), cd_high = _mm512_unpackhi_epi8(c, d);
  _mm512_storeu_si512(to, _mm512_unpacklo_epi16(ab_low, cd_low));
  _mm512_storeu_si512(to + 64, _mm512_unpackhi_epi16(ab_low, cd_low));
  _mm512_storeu_si512(to + 128, _mm512_unpacklo_epi16(ab_high, cd_high));
  _mm512_storeu_si512(to + 192, _mm512_unpackhi_epi16(ab_high, cd_high));
}

// `rescale` for sixteen sums and without a left shift. The division is a shift by all bits but one,
// and by that one once a half is added: nothing leaves 32 bits.
inline __m512i rescale16(__m512i v, __m512i multiplier, __m512i exponent) {
  const __m512i nudge = _mm512_set1_epi64(int64_t(1) << 30);
  const __m512i even = _mm512_add_epi64(_mm512_mul_epi32(v, multiplier), nudge);
  const __m512i odd =
      _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(v, 32), multiplier), nudge);
  const __m512i high =
      _mm512_mask_mov_epi32(_mm512_srli_epi64(even, 31), 0xAAAA, _mm512_slli_epi64(odd, 1));
  const __m512i one = _mm512_set1_epi32(1);
  const __m512i nudged = _mm512_add_epi32(high, _mm512_srai_epi32(high, 31));
  const __m512i doubled = _mm512_srav_epi32(nudged, _mm512_sub_epi32(exponent, one));
  // With an exponent of zero nothing is to be rounded.
  return _mm512_mask_srai_epi32(high, _mm512_test_epi32_mask(exponent, exponent),
                                _mm512_add_epi32(doubled, one), 1);
}

#endif

#if defined(AXYNQ_PATH_AVX2)

// A table of 256 bytes. The bytes it maps most often are those of exact multipliers, where the table
// only flips bits.
struct Table {
  const uint8_t *bytes;
  bool flips = true;
  explicit Table(const uint8_t *table) : bytes(table) {
    for (int k = 0; k < 256; ++k) flips = flips && table[k] == (table[0] ^ k);
  }
  __m256i operator()(__m256i index) const {
    if (flips) return _mm256_xor_si256(index, _mm256_set1_epi8(int8_t(bytes[0])));
    // Sixteen tables of sixteen bytes: an index whose high half is another one's gets its highest
    // bit set, and looks up a zero.
    __m256i found = _mm256_setzero_si256();
    for (int high = 0; high < 16; ++high) {
      const __m256i own = _mm256_xor_si256(index, _mm256_set1_epi8(int8_t(16 * high)));
      const __m256i part = _mm256_broadcastsi128_si256(
          _mm_loadu_si128(reinterpret_cast<const __m128i *>(bytes + 16 * high)));
      found = _mm256_or_si256(
          found, _mm256_shuffle_epi8(part, _mm256_adds_epu8(own, _mm256_set1_epi8(0x70))));
    }
    return found;
  }
};

// As above, the first 32 images and then the others.
inline void map_and_interleave(const Table &table, const uint8_t *const from[4],
                               const uint8_t *padding, uint8_t *to) {
  for (int half = 0; half < 2; ++half, to += 32) {
    __m256i mapped[4];
    for (int k = 0; k < 4; ++k) {
      const __m256i bytes =
          _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from[k] + 32 * half));
      mapped[k] = from[k] == padding ? bytes : table(bytes);
    }
    const __m256i a = mapped[0], b = mapped[1], c = mapped[2], d = mapped[3];
    const __m256i ab_low = _mm256_unpacklo_epi8(a, b), ab_high = _mm256_unpackhi_epi8(a, b);
    const __m256i cd_low = _mm256_unpacklo_epi8(c, d), cd_high = _mm256_unpackhi_epi8(c, d);
    const __m256i four[4] = {
        _mm256_unpacklo_epi16(ab_low, cd_low), _mm256_unpackhi_epi16(ab_low, cd_low),
        _mm256_unpacklo_epi16(ab_high, cd_high), _mm256_unpackhi_epi16(ab_high, cd_high)};
    for (int j = 0; j < 4; ++j)
      _mm256_storeu_si256(reinterpret_cast<__m256i *>(to + 64 * j), four[j]);
  }
}

// `rescale` for eight sums and without a left shift. The division is a shift by all bits but one, and
// by that one once a half is added: nothing leaves 32 bits.
inline __m256i rescale8(__m256i v, __m256i multiplier, int exponent) {
  const __m256i nudge = _mm256_set1_epi64x(int64_t(1) << 30);
  const __m256i even = _mm256_add_epi64(_mm256_mul_epi32(v, multiplier), nudge);
  const __m256i odd =
      _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(v, 32), multiplier), nudge);
  const __m256i high =
      _mm256_blend_epi32(_mm256_srli_epi64(even, 31), _mm256_slli_epi64(odd, 1), 0xAA);
  if (exponent == 0) return high;
  const __m256i nudged = _mm256_add_epi32(high, _mm256_srai_epi32(high, 31));
  const __m256i doubled = _mm256_srai_epi32(nudged, exponent - 1);
  return _mm256_srai_epi32(_mm256_add_epi32(doubled, _mm256_set1_epi32(1)), 1);
}

#endif

#if !defined(AXYNQ_PATH_AVX512) && !defined(AXYNQ_PATH_AVX2)

struct Table {
  const uint8_t *bytes;
  explicit Table(const uint8_t *table) : bytes(table) {}
};


inline void map_and_interleave(const Table &table, const uint8_t *const from[4],
                               const uint8_t *padding, uint8_t *to) {
  for (int k = 0; k < BLOCK; ++k) {
    const int n = quad_image(k);
    for (int j = 0; j < 4; ++j)
      to[4 * k + j] = from[j] == padding ? from[j][n] : table.bytes[from[j][n]];
  }
}

#endif

// How sums become bytes.
struct Requantisation {
  int32_t multiplier, shift, zero_point, low, high;
};

#if defined(AXYNQ_PATH_AVX512)

// Sums of the 64 images, in quad order.
struct Sums {
  __m512i part[4];

  void add(int32_t value) {
    for (auto &p : part) p = _mm512_add_epi32(p, _mm512_set1_epi32(value));
  }
  void add(const int32_t *values) {
    for (int j = 0; j < 4; ++j)
      part[j] = _mm512_add_epi32(part[j], _mm512_loadu_si512(values + 16 * j));
  }
  void shift_left(int bits) {
    for (auto &p : part) p = _mm512_slli_epi32(p, unsigned(bits));
  }
  // In the images' order: four by four, 128 bits change places.
  void store_in_order(int32_t *to) const {
    const __m512i a = _mm512_shuffle_i32x4(part[0], part[1], 0x44);
    const __m512i b = _mm512_shuffle_i32x4(part[2], part[3], 0x44);
    const __m512i c = _mm512_shuffle_i32x4(part[0], part[1], 0xEE);
    const __m512i d = _mm512_shuffle_i32x4(part[2], part[3], 0xEE);
    const __m512i ordered[4] = {
        _mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xDD),
        _mm512_shuffle_i32x4(c, d, 0x88), _mm512_shuffle_i32x4(c, d, 0xDD)};
    // Large arrays that are not read again soon: past the caches where the place allows it.
    const bool aligned = reinterpret_cast<std::uintptr_t>(to) % 64 == 0;
    for (int j = 0; j < 4; ++j) {
      if (aligned)
        _mm512_stream_si512(reinterpret_cast<__m512i *>(to + 16 * j), ordered[j]);
      else
        _mm512_storeu_si512(to + 16 * j, ordered[j]);
    }
  }
};

#else

struct Sums {
  int32_t part[BLOCK];

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

#endif

// 64 sums to 64 bytes in order.
inline void requantise(const Sums &sums, const Requantisation &r, int8_t *to) {
  // The zero point is added to 16 bits, saturating.
#if defined(AXYNQ_PATH_AVX512)
  if (r.shift <= 0) {
    const __m512i m = _mm512_set1_epi32(r.multiplier), e = _mm512_set1_epi32(-r.shift);
    const __m512i zero = _mm512_set1_epi16(int16_t(r.zero_point));
    __m512i z[4];
    for (int j = 0; j < 4; ++j) z[j] = rescale16(sums.part[j], m, e);
    const __m512i words[2] = {_mm512_adds_epi16(_mm512_packs_epi32(z[0], z[1]), zero),
                              _mm512_adds_epi16(_mm512_packs_epi32(z[2], z[3]), zero)};
    const __m512i bytes = _mm512_packs_epi16(words[0], words[1]);
    const __m512i bounded = _mm512_min_epi8(_mm512_max_epi8(bytes, _mm512_set1_epi8(int8_t(r.low))),
                                            _mm512_set1_epi8(int8_t(r.high)));
    _mm512_storeu_si512(to, bounded);
    return;
  }
#elif defined(AXYNQ_PATH_AVX2)
  if (r.shift <= 0) {
    const __m256i m = _mm256_set1_epi32(r.multiplier);
    const __m256i zero = _mm256_set1_epi16(int16_t(r.zero_point));
    const __m256i low = _mm256_set1_epi8(int8_t(r.low)), high = _mm256_set1_epi8(int8_t(r.high));
    for (int half = 0; half < 2; ++half) {
      __m256i z[4];
      for (int j = 0; j < 4; ++j) {
        const __m256i v = _mm256_loadu_si256(
            reinterpret_cast<const __m256i *>(sums.part + 16 * j + 8 * half));
        z[j] = rescale8(v, m, -r.shift);
      }
      const __m256i words[2] = {_mm256_adds_epi16(_mm256_packs_epi32(z[0], z[1]), zero),
                                _mm256_adds_epi16(_mm256_packs_epi32(z[2], z[3]), zero)};
      const __m256i bytes = _mm256_packs_epi16(words[0], words[1]);
      _mm256_storeu_si256(reinterpret_cast<__m256i *>(to + 32 * half),
                          _mm256_min_epi8(_mm256_max_epi8(bytes, low), high));
    }
    return;
  }
#endif
  int32_t values[BLOCK];
  sums.store_in_order(values);
  for (int n = 0; n < BLOCK; ++n)
    to[n] = quantised(rescale(values[n], r.multiplier, r.shift), r.zero_point, r.low, r.high);
}

}  // namespace axynq
