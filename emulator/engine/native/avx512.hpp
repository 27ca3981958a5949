// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// AVX-512 with VNNI and VBMI. instructions.hpp says what each part does.
#pragma once

#include <immintrin.h>

#include "scalar.hpp"

namespace axynq::avx512 {

constexpr bool WIDE_WEIGHTS = false;
constexpr bool GROUP_LOOKUPS = true;
constexpr int LOOKUP_POSITIONS = 8;
constexpr bool TILES = false;
using Thread = NoThread;
constexpr auto tile_products = no_tile_products;
constexpr auto tile_products_of_one = no_tile_products_of_one;

struct Sums {
  __m512i part[4];

  void load(const int32_t *values) {
    for (int j = 0; j < 4; ++j) part[j] = _mm512_loadu_si512(values + 16 * j);
  }
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
    const __m512i ordered[4] = {_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xDD),
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

// A table of 256 bytes held in registers. The bytes it maps most often are those of exact
// multipliers, where the table only flips bits.
struct Table {
  __m512i part[4];
  bool flips;
  explicit Table(const uint8_t *bytes, bool may_flip = false) : flips(may_flip) {
    for (int k = 0; k < 4; ++k) part[k] = _mm512_loadu_si512(bytes + 64 * k);
    const __m512i first = _mm512_set1_epi8(int8_t(bytes[0]));
    for (int k = 0; flips && k < 4; ++k)
      flips = !_mm512_cmpneq_epi8_mask(
          part[k], _mm512_xor_si512(_mm512_load_si512(EVERY_BYTE.byte + 64 * k), first));
  }
  __m512i operator()(__m512i index) const {
    const __m512i low = _mm512_permutex2var_epi8(part[0], index, part[1]);
    const __m512i high = _mm512_permutex2var_epi8(part[2], index, part[3]);
    return _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(index), high);
  }
};

inline void map_and_interleave(const Table &table, const uint8_t *const from[4],
                               const uint8_t *padding, uint8_t *to, int64_t quarter) {
  __m512i mapped[4];
  const __m512i flipped = _mm512_broadcastb_epi8(_mm512_castsi512_si128(table.part[0]));
  for (int k = 0; k < 4; ++k) {
    const __m512i bytes = _mm512_loadu_si512(from[k]);
    mapped[k] = from[k] == padding ? bytes
                : table.flips      ? _mm512_xor_si512(bytes, flipped)
                                   : table(bytes);
  }
  const __m512i a = mapped[0], b = mapped[1], c = mapped[2], d = mapped[3];
  const __m512i ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
  const __m512i cd_low = _mm512_unpacklo_epi8(c, d), cd_high = _mm512_unpackhi_epi8(c, d);
  _mm512_storeu_si512(to, _mm512_unpacklo_epi16(ab_low, cd_low));
  _mm512_storeu_si512(to + quarter, _mm512_unpackhi_epi16(ab_low, cd_low));
  _mm512_storeu_si512(to + 2 * quarter, _mm512_unpacklo_epi16(ab_high, cd_high));
  _mm512_storeu_si512(to + 3 * quarter, _mm512_unpackhi_epi16(ab_high, cd_high));
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

// The same in real numbers, for factors of at most a half, where `real_factor` has found that all
// results are right: v * (high + low), cut off once to 24 bits, then rounded by an addition that is
// cut off too. What is cut off moves no value across a whole number.
inline __m512i real_rescale16(__m512i v, __m512 high, __m512 low, __m512 half) {
  constexpr int CUT = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;
  const __m512 x = _mm512_cvt_roundepi32_ps(v, CUT);
  const __m512 scaled = _mm512_fmadd_round_ps(x, high, _mm512_mul_round_ps(x, low, CUT), CUT);
  const __m512i sign = _mm512_set1_epi32(INT32_MIN);
  const __m512 signed_half = _mm512_castsi512_ps(
      _mm512_ternarylogic_epi32(_mm512_castps_si512(scaled), _mm512_castps_si512(half), sign,
                                0xE4));  // the sign of the first
  return _mm512_cvtt_roundps_epi32(_mm512_add_round_ps(scaled, signed_half, CUT),
                                   _MM_FROUND_NO_EXC);
}

inline RealFactor real_factor(int32_t multiplier, int32_t shift) {
  const __m512 half = _mm512_set1_ps(real_half(shift));
  const __m512i m = _mm512_set1_epi32(multiplier), e = _mm512_set1_epi32(-shift);
  return checked_real_factor(
      multiplier, shift, [&](const int32_t *values, int count, RealFactor real) {
        const __m512 high = _mm512_set1_ps(real.high), low = _mm512_set1_ps(real.low);
        for (int k = 0; k < count; k += 16) {
          const __m512i v = _mm512_load_si512(values + k);
          if (_mm512_cmpneq_epi32_mask(rescale16(v, m, e), real_rescale16(v, high, low, half)))
            return false;
        }
        return true;
      });
}

// Sums of so many filters, in registers.
template <int FILTERS>
struct Accumulators {
  __m512i sum[FILTERS][4];
};

template <int FILTERS>
[[gnu::always_inline]] inline void add_products(const Segment &segment, const uint8_t *x,
                                                int64_t quarter, const int8_t *&weights,
                                                Accumulators<FILTERS> &acc) {
  for (int g = 0; g < segment.groups; ++g, x += BLOCK, weights += 4 * FILTERS) {
    __m512i a[4];
    for (int j = 0; j < 4; ++j) a[j] = _mm512_load_si512(x + j * quarter);
    for (int f = 0; f < FILTERS; ++f) {
      int32_t four;
      std::memcpy(&four, weights + 4 * f, 4);
      const __m512i w = _mm512_set1_epi32(four);
      for (int j = 0; j < 4; ++j) acc.sum[f][j] = _mm512_dpbusd_epi32(acc.sum[f][j], a[j], w);
    }
  }
}

// Four taps of an image lie side by side, and so do their tables of sixteen bytes: an index is the
// half of a byte and the number of the tap. What is found is added up as products with ones.
template <int FILTERS, bool HIGH>
[[gnu::always_inline]] inline void add_looked_up(const Segment &segment, const uint8_t *x,
                                                 int64_t quarter, const uint8_t *&tables,
                                                 Accumulators<FILTERS> &acc) {
  const __m512i ones = _mm512_set1_epi8(1);
  for (int g = 0; g < segment.groups; ++g, x += BLOCK, tables += 64 * FILTERS) {
    __m512i a[4];
    for (int j = 0; j < 4; ++j) {
      const __m512i bytes = _mm512_load_si512(x + j * quarter);
      const __m512i half = HIGH ? _mm512_srli_epi16(bytes, 4) : bytes;
      a[j] = _mm512_ternarylogic_epi32(half, _mm512_set1_epi8(0x0F), _mm512_set1_epi32(0x30201000),
                                       0xEA);  // first and second, or third
    }
    for (int f = 0; f < FILTERS; ++f) {
      const __m512i table = _mm512_load_si512(tables + 64 * f);
      for (int j = 0; j < 4; ++j)
        acc.sum[f][j] =
            _mm512_dpbusd_epi32(acc.sum[f][j], _mm512_permutexvar_epi8(a[j], table), ones);
    }
  }
}

template <int FILTERS>
inline void dot_products(const FilterBlock &block, const uint8_t *const *rows, int64_t quarter,
                         Sums sums[FILTERS]) {
  const int8_t *weights = block.weights;
  const uint8_t *tables = block.tables;
  Accumulators<FILTERS> acc;
  for (int f = 0; f < FILTERS; ++f)
    for (int j = 0; j < 4; ++j) acc.sum[f][j] = _mm512_setzero_si512();
  for (int s = 0; s < block.segments; ++s) {
    const Segment &segment = block.segment[s];
    if (segment.shift)
      for (int f = 0; f < FILTERS; ++f)
        for (int j = 0; j < 4; ++j)
          acc.sum[f][j] = _mm512_slli_epi32(acc.sum[f][j], unsigned(segment.shift));
    if (segment.part == WHOLE_BYTE)
      add_products<FILTERS>(segment, rows[s], quarter, weights, acc);
    else if (segment.part == LOW_HALF)
      add_looked_up<FILTERS, false>(segment, rows[s], quarter, tables, acc);
    else
      add_looked_up<FILTERS, true>(segment, rows[s], quarter, tables, acc);
  }
  for (int f = 0; f < FILTERS; ++f)
    for (int j = 0; j < 4; ++j) sums[f].part[j] = acc.sum[f][j];
}

// A table of sixteen bytes, for indices below sixteen.
struct HalfTable {
  __m512i bytes;
  explicit HalfTable(const uint8_t *table)
      : bytes(_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i *>(table)))) {}
  __m512i operator()(__m512i index) const { return _mm512_shuffle_epi8(bytes, index); }
};

// A table of 256 bytes whose halves are alike: the highest bit of an index is ignored.
struct SevenBitTable {
  __m512i part[2];
  explicit SevenBitTable(const uint8_t *bytes)
      : part{_mm512_loadu_si512(bytes), _mm512_loadu_si512(bytes + 64)} {}
  __m512i operator()(__m512i index) const {
    return _mm512_permutex2var_epi8(part[0], index, part[1]);
  }
};

template <int POSITIONS, class TapTable>
inline void look_up_in(const Convolution &c, const LookupFilter &filter, const uint8_t *const *rows,
                       int64_t step, int32_t *sums) {
  // Sums of bytes, of words, and of the upper bytes of words: words less these are the lower bytes.
  __m512i bytes[POSITIONS], words[POSITIONS], odd[POSITIONS];
  for (int p = 0; p < POSITIONS; ++p) bytes[p] = words[p] = odd[p] = _mm512_setzero_si512();

  const auto widen_bytes = [&] {
    for (int p = 0; p < POSITIONS; ++p) {
      words[p] = _mm512_add_epi16(words[p], bytes[p]);
      odd[p] = _mm512_add_epi16(odd[p], _mm512_srli_epi16(bytes[p], 8));
    }
  };
  const auto widen_words = [&] {
    const __m512i zero = _mm512_setzero_si512();
    for (int p = 0; p < POSITIONS; ++p) {
      const __m512i even = _mm512_sub_epi16(words[p], _mm512_slli_epi16(odd[p], 8));
      const __m512i low = _mm512_unpacklo_epi16(even, odd[p]);
      const __m512i high = _mm512_unpackhi_epi16(even, odd[p]);
      const __m512i z[4] = {_mm512_unpacklo_epi16(low, zero), _mm512_unpackhi_epi16(low, zero),
                            _mm512_unpacklo_epi16(high, zero), _mm512_unpackhi_epi16(high, zero)};
      for (int j = 0; j < 4; ++j) {
        int32_t *place = sums + p * BLOCK + 16 * j;
        _mm512_storeu_si512(place, _mm512_add_epi32(_mm512_loadu_si512(place),
                                                    _mm512_slli_epi32(z[j], filter.shift)));
      }
      words[p] = odd[p] = zero;
    }
  };
  for (int t = 0; t < filter.taps; ++t) {
    const LookupTap &tap = filter.tap[t];
    const TapTable table(c.lookup_tables + tap.table);
    const uint8_t *x = rows[tap.kernel_row] + tap.offset;
    if (tap.flush) {
      widen_bytes();
      if (tap.flush == 2) widen_words();
      for (int p = 0; p < POSITIONS; ++p) bytes[p] = table(_mm512_load_si512(x + p * step));
    } else {
      for (int p = 0; p < POSITIONS; ++p)
        bytes[p] = _mm512_add_epi8(bytes[p], table(_mm512_load_si512(x + p * step)));
    }
  }
  widen_bytes();
  widen_words();
}

template <int POSITIONS>
inline void look_up(const Convolution &c, const LookupFilter &filter, const uint8_t *const *rows,
                    int64_t step, int32_t *sums) {
  if (filter.part == WHOLE_BYTE)
    look_up_in<POSITIONS, Table>(c, filter, rows, step, sums);
  else if (filter.part == SEVEN_BITS)
    look_up_in<POSITIONS, SevenBitTable>(c, filter, rows, step, sums);
  else
    look_up_in<POSITIONS, HalfTable>(c, filter, rows, step, sums);
}

inline void requantise(const Sums &sums, const Requantisation &r, int8_t *to) {
  if (r.shift <= 0) {
    const __m512i m = _mm512_set1_epi32(r.multiplier), e = _mm512_set1_epi32(-r.shift);
    const __m512i zero = _mm512_set1_epi16(int16_t(r.zero_point));
    __m512i z[4];
    if (r.real.high) {
      const __m512 high = _mm512_set1_ps(r.real.high), low = _mm512_set1_ps(r.real.low);
      const __m512 half = _mm512_set1_ps(real_half(r.shift));
      for (int j = 0; j < 4; ++j) z[j] = real_rescale16(sums.part[j], high, low, half);
    } else {
      for (int j = 0; j < 4; ++j) z[j] = rescale16(sums.part[j], m, e);
    }
    // The zero point is added to 16 bits, saturating.
    const __m512i words[2] = {_mm512_adds_epi16(_mm512_packs_epi32(z[0], z[1]), zero),
                              _mm512_adds_epi16(_mm512_packs_epi32(z[2], z[3]), zero)};
    const __m512i bytes = _mm512_packs_epi16(words[0], words[1]);
    const __m512i bounded = _mm512_min_epi8(_mm512_max_epi8(bytes, _mm512_set1_epi8(int8_t(r.low))),
                                            _mm512_set1_epi8(int8_t(r.high)));
    _mm512_storeu_si512(to, bounded);
    return;
  }
  int32_t values[BLOCK];
  sums.store_in_order(values);
  scalar::requantise(values, r, to);
}

inline void map_planes(const uint8_t *tables, const HalfTables *halves, int planes, int64_t runs,
                       int64_t bytes, const uint8_t *from, uint8_t *to) {
  const __m512i mask = _mm512_set1_epi8(0x0F);
  if (all_halves(halves, planes)) {
    for (; runs > 0; --runs, from += bytes, to += planes * bytes)
      for (int64_t i = 0; i < bytes; i += 64) {
        const __m512i index = _mm512_loadu_si512(from + i), low = _mm512_and_si512(index, mask);
        const __m512i high = _mm512_and_si512(_mm512_srli_epi16(index, 4), mask);
        for (int k = 0; k < planes; ++k)
          _mm512_storeu_si512(to + k * bytes + i, _mm512_add_epi8(HalfTable(halves[k].low)(low),
                                                                  HalfTable(halves[k].high)(high)));
      }
    return;
  }
  for (int k = 0; k < planes; ++k) {
    const Table table(tables + 256 * k);
    for (int64_t run = 0; run < runs; ++run)
      for (int64_t i = 0; i < bytes; i += 64)
        _mm512_storeu_si512(to + (run * planes + k) * bytes + i,
                            table(_mm512_loadu_si512(from + run * bytes + i)));
  }
}

inline void map(const uint8_t *table, int64_t count, const int8_t *from, int8_t *to) {
  const Table registers(table, true);
  const __m512i first = _mm512_set1_epi8(int8_t(table[0]));
  for (int64_t i = 0; i < count; i += 64) {
    const __m512i bytes = _mm512_loadu_si512(from + i);
    _mm512_storeu_si512(to + i,
                        registers.flips ? _mm512_xor_si512(bytes, first) : registers(bytes));
  }
}

// What `sixteen` makes of sixteen pairs of values, zero points off, in 32 bits, to bytes.
template <class Sixteen>
inline void each_pair(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to,
                      const Sixteen &sixteen) {
  const __m512i zero_a = _mm512_set1_epi32(op.input_zero_point);
  const __m512i zero_b = _mm512_set1_epi32(op.second_zero_point);
  const __m512i zero = _mm512_set1_epi32(op.output_zero_point);
  const __m128i low = _mm_set1_epi8(int8_t(op.clamp_low));
  const __m128i high = _mm_set1_epi8(int8_t(op.clamp_high));
  const auto load = [](const int8_t *from, __m512i zero_point) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(from));
    return _mm512_sub_epi32(_mm512_cvtepi8_epi32(bytes), zero_point);
  };
  for (int k = 0; k < op.runs; ++k) {
    const Pairing &pairing = op.pairing[k];
    const int8_t *x = a + int64_t(pairing.first) * BLOCK;
    const int8_t *y = b + int64_t(pairing.second) * BLOCK;
    for (int p = 0; p < pairing.count; ++p, to += BLOCK) {
      for (int i = 0; i < BLOCK; i += 16) {
        const __m512i value = sixteen(load(x + i, zero_a), load(y + i, zero_b));
        const __m128i bytes = _mm512_cvtsepi32_epi8(_mm512_add_epi32(value, zero));
        _mm_storeu_si128(reinterpret_cast<__m128i *>(to + i),
                         _mm_min_epi8(_mm_max_epi8(bytes, low), high));
      }
      x += pairing.first_step * BLOCK;
      y += pairing.second_step * BLOCK;
    }
  }
}

// Sums that are one linear function: pairs of 16-bit words, which are the operands' bytes times
// 256, times pairs of words.
inline void linear_sum(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to) {
  const auto pair = [](int16_t first, int16_t second) {
    return _mm512_set1_epi32(int32_t(uint16_t(first) | uint32_t(uint16_t(second)) << 16));
  };
  const __m512i high = pair(op.linear[0], op.linear[1]), low = pair(op.linear[2], op.linear[3]);
  const __m512i constant = _mm512_set1_epi32(op.linear_constant[0]);
  const __m512i low_constant = _mm512_set1_epi32(op.linear_constant[1]);
  const __m512i least = _mm512_set1_epi8(int8_t(op.clamp_low));
  const __m512i most = _mm512_set1_epi8(int8_t(op.clamp_high));
  const __m512i zero = _mm512_setzero_si512();
  const __m128i shift = _mm_cvtsi32_si128(op.linear_shift);
  const auto sum = [&](__m512i words) {
    const __m512i lower =
        _mm512_srai_epi32(_mm512_dpwssd_epi32(low_constant, words, low), LINEAR_LOW_BITS);
    const __m512i upper = _mm512_dpwssd_epi32(constant, words, high);
    return _mm512_sra_epi32(_mm512_add_epi32(lower, upper), shift);
  };
  for (int k = 0; k < op.runs; ++k) {
    const Pairing &pairing = op.pairing[k];
    const int8_t *x = a + int64_t(pairing.first) * BLOCK;
    const int8_t *y = b + int64_t(pairing.second) * BLOCK;
    for (int p = 0; p < pairing.count; ++p, to += BLOCK) {
      const __m512i bytes_a = _mm512_loadu_si512(x), bytes_b = _mm512_loadu_si512(y);
      const __m512i low_a = _mm512_unpacklo_epi8(zero, bytes_a);
      const __m512i high_a = _mm512_unpackhi_epi8(zero, bytes_a);
      const __m512i low_b = _mm512_unpacklo_epi8(zero, bytes_b);
      const __m512i high_b = _mm512_unpackhi_epi8(zero, bytes_b);
      const __m512i words[2] = {_mm512_packs_epi32(sum(_mm512_unpacklo_epi16(low_a, low_b)),
                                                   sum(_mm512_unpackhi_epi16(low_a, low_b))),
                                _mm512_packs_epi32(sum(_mm512_unpacklo_epi16(high_a, high_b)),
                                                   sum(_mm512_unpackhi_epi16(high_a, high_b)))};
      const __m512i bytes = _mm512_packs_epi16(words[0], words[1]);
      _mm512_storeu_si512(to, _mm512_min_epi8(_mm512_max_epi8(bytes, least), most));
      x += pairing.first_step * BLOCK;
      y += pairing.second_step * BLOCK;
    }
  }
}

inline void add(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to) {
  if (op.linear_shift) return linear_sum(op, a, b, to);
  if (op.shift[0] > 0 || op.shift[1] > 0 || op.shift[2] > 0) return scalar::add(op, a, b, to);
  __m512i m[3], e[3];
  for (int k = 0; k < 3; ++k) {
    m[k] = _mm512_set1_epi32(op.multiplier[k]);
    e[k] = _mm512_set1_epi32(-op.shift[k]);
  }
  // The operand of the larger scale is halved, which widening has made exact.
  const auto scaled = [&](int k, __m512i v) {
    v = _mm512_slli_epi32(v, ADD_LEFT_SHIFT);
    return op.multiplier[k] == 1 << 30 && op.shift[k] == 0 ? _mm512_srai_epi32(v, 1)
                                                           : rescale16(v, m[k], e[k]);
  };
  if (op.kind == SUBTRACT)
    each_pair(op, a, b, to, [&](__m512i x, __m512i y) {
      return rescale16(_mm512_sub_epi32(scaled(0, x), scaled(1, y)), m[2], e[2]);
    });
  else
    each_pair(op, a, b, to, [&](__m512i x, __m512i y) {
      return rescale16(_mm512_add_epi32(scaled(0, x), scaled(1, y)), m[2], e[2]);
    });
}

inline void multiply(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to) {
  if (op.shift[0] > 0) return scalar::multiply(op, a, b, to);
  const __m512i m = _mm512_set1_epi32(op.multiplier[0]), e = _mm512_set1_epi32(-op.shift[0]);
  each_pair(op, a, b, to,
            [&](__m512i x, __m512i y) { return rescale16(_mm512_mullo_epi32(x, y), m, e); });
}

}  // namespace axynq::avx512
