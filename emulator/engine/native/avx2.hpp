// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// AVX2. instructions.hpp says what each part does.
#pragma once

#include <immintrin.h>

#include "generic.hpp"

namespace axynq::avx2 {

// There is no byte dot product; products of 16-bit words need words.
constexpr bool WIDE_WEIGHTS = true;
constexpr bool GROUP_LOOKUPS = false;
constexpr int LOOKUP_POSITIONS = 6;
constexpr bool TILES = false;
constexpr auto tile_products = no_tile_products;
constexpr auto tile_products_of_one = no_tile_products_of_one;

// Real numbers are cut off, not rounded, while a thread computes (`real_rescale8`).
struct Thread {
  const unsigned before = _mm_getcsr();
  Thread() { _MM_SET_ROUNDING_MODE(_MM_ROUND_TOWARD_ZERO); }
  ~Thread() { _mm_setcsr(before); }
  Thread(const Thread &) = delete;
  Thread &operator=(const Thread &) = delete;
};

inline __m256i load(const void *from) {
  return _mm256_loadu_si256(static_cast<const __m256i *>(from));
}
inline void store(void *to, __m256i value) {
  _mm256_storeu_si256(static_cast<__m256i *>(to), value);
}

struct Sums {
  __m256i part[8];

  void load(const int32_t *values) {
    for (int j = 0; j < 8; ++j) part[j] = avx2::load(values + 8 * j);
  }
  void add(int32_t value) {
    for (auto &p : part) p = _mm256_add_epi32(p, _mm256_set1_epi32(value));
  }
  void add(const int32_t *values) {
    for (int j = 0; j < 8; ++j) part[j] = _mm256_add_epi32(part[j], avx2::load(values + 8 * j));
  }
  void shift_left(int bits) {
    for (auto &p : part) p = _mm256_slli_epi32(p, bits);
  }
  // Four by four, 128 bits change places.
  void store_in_order(int32_t *to) const {
    for (int j = 0; j < 4; ++j)
      for (int half = 0; half < 2; ++half) {
        const __m256i two = part[2 * j + half];  // images 32 half + 4 j, and 16 further
        auto *place = reinterpret_cast<__m128i *>(to + 32 * half + 4 * j);
        _mm_storeu_si128(place, _mm256_castsi256_si128(two));
        _mm_storeu_si128(place + 4, _mm256_extracti128_si256(two, 1));
      }
  }
};

// A table of 256 bytes. The bytes it maps most often are those of exact multipliers, where the
// table only flips bits.
struct Table {
  const uint8_t *bytes;
  bool flips;
  explicit Table(const uint8_t *table, bool may_flip = true) : bytes(table), flips(may_flip) {
    for (int k = 0; flips && k < 256; ++k) flips = table[k] == (table[0] ^ k);
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

// The first 32 images and then the others.
inline void map_and_interleave(const Table &table, const uint8_t *const from[4],
                               const uint8_t *padding, uint8_t *to, int64_t quarter) {
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
      _mm256_storeu_si256(reinterpret_cast<__m256i *>(to + j * quarter), four[j]);
  }
}

// `rescale` for eight sums and without a left shift. The division is a shift by all bits but one,
// and by that one once a half is added: nothing leaves 32 bits.
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

// The same in real numbers, for factors of at most a half, where `real_factor` has found that all
// results are right: v * (high + low), cut off once to 24 bits, then rounded by an addition that is
// cut off too. What is cut off moves no value across a whole number.
inline __m256i real_rescale8(__m256i v, __m256 high, __m256 low, __m256 half) {
  const __m256 x = _mm256_cvtepi32_ps(v);
  const __m256 scaled = _mm256_fmadd_ps(x, high, _mm256_mul_ps(x, low));
  const __m256 sign = _mm256_and_ps(scaled, _mm256_set1_ps(-0.0f));
  return _mm256_cvttps_epi32(_mm256_add_ps(scaled, _mm256_or_ps(sign, half)));
}

// Whether eight values become the same in both ways. Not inlined: computed between the changes of
// the rounding mode.
[[gnu::noinline]] inline bool real_rescale_holds(const int32_t *values, int32_t multiplier,
                                                 int32_t shift, RealFactor real) {
  const __m256i v = load(values);
  const __m256i found = real_rescale8(v, _mm256_set1_ps(real.high), _mm256_set1_ps(real.low),
                                      _mm256_set1_ps(real_half(shift)));
  const __m256i right = rescale8(v, _mm256_set1_epi32(multiplier), -shift);
  return _mm256_movemask_epi8(_mm256_cmpeq_epi32(found, right)) == -1;
}

inline RealFactor real_factor(int32_t multiplier, int32_t shift) {
  return checked_real_factor(multiplier, shift,
                             [&](const int32_t *values, int count, RealFactor real) {
                               const Thread cutting_off;
                               for (int k = 0; k < count; k += 8)
                                 if (!real_rescale_holds(values + k, multiplier, shift, real))
                                   return false;
                               return true;
                             });
}

// Sixteen sums of each filter at a time, which fit the registers, of byte weights. `add` adds the
// products of a group.
template <int FILTERS, class Add>
[[gnu::always_inline]] inline void products(const FilterBlock &block, const uint8_t *const *rows,
                                            int64_t quarter, Sums sums[FILTERS], const Add &add) {
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
      for (int g = 0; g < segment.groups; ++g, x += BLOCK, weights += 4 * FILTERS)
        add(x, weights, acc);
    }
    for (int f = 0; f < FILTERS; ++f)
      for (int j = 0; j < 2; ++j) sums[f].part[2 * part + j] = acc[f][j];
  }
}

// Four bytes of weights, for each of eight images.
inline __m256i repeated(const int8_t *weights) {
  int32_t four;
  std::memcpy(&four, weights, 4);
  return _mm256_set1_epi32(four);
}

// Products of a narrow block: those of two taps fit a word.
template <int FILTERS>
[[gnu::noinline]] inline void narrow_products(const FilterBlock &block, const uint8_t *const *rows,
                                              int64_t quarter, Sums sums[FILTERS]) {
  const __m256i ones = _mm256_set1_epi16(1);
  products<FILTERS>(block, rows, quarter, sums,
                    [&](const uint8_t *x, const int8_t *weights, __m256i(*acc)[2]) {
                      for (int f = 0; f < FILTERS; ++f) {
                        const __m256i w = repeated(weights + 4 * f);
                        for (int j = 0; j < 2; ++j) {
                          const __m256i words = _mm256_maddubs_epi16(load(x + 32 * j), w);
                          acc[f][j] = _mm256_add_epi32(acc[f][j], _mm256_madd_epi16(words, ones));
                        }
                      }
                    });
}

// A loop of its own, always inlined: it needs all registers, and GCC 12 makes one of it that takes
// a fifth longer in `products` or by itself.
template <int FILTERS>
[[gnu::always_inline]] inline void dot_products(const FilterBlock &block,
                                                const uint8_t *const *rows, int64_t quarter,
                                                Sums sums[FILTERS]) {
  if (block.narrow) return narrow_products<FILTERS>(block, rows, quarter, sums);
  // Without a byte dot product: bytes 0 and 2, then 1 and 3, as pairs of 16 bits; the weights come
  // widened, in that order. Sixteen sums at a time.
  for (int part = 0; part < 4; ++part) {
    __m256i acc[FILTERS][2];
    for (int f = 0; f < FILTERS; ++f) acc[f][0] = acc[f][1] = _mm256_setzero_si256();
    const int8_t *w = block.weights;
    for (int s = 0; s < block.segments; ++s) {
      const Segment &segment = block.segment[s];
      if (segment.shift)
        for (int f = 0; f < FILTERS; ++f)
          for (int j = 0; j < 2; ++j) acc[f][j] = _mm256_slli_epi32(acc[f][j], segment.shift);
      const uint8_t *x = rows[s] + part * quarter;
      for (int g = 0; g < segment.groups; ++g, x += BLOCK, w += 8 * FILTERS) {
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
      for (int j = 0; j < 2; ++j) sums[f].part[2 * part + j] = acc[f][j];
  }
}

// Half bytes have tables of sixteen bytes, which fit a register. Where GCC joins variables, it
// looks up everything before it adds, which takes more registers than there are.
template <int POSITIONS>
[[gnu::optimize("no-tree-coalesce-vars")]] inline void look_up_halves(const Convolution &c,
                                                                      const LookupFilter &filter,
                                                                      const uint8_t *const *rows,
                                                                      int64_t step, int32_t *sums) {
  // Word sums: of the bytes at odd places, and of both bytes as they lie, modulo 2^16.
  __m256i both[POSITIONS][2], odd[POSITIONS][2];
  for (int p = 0; p < POSITIONS; ++p)
    for (int v = 0; v < 2; ++v) both[p][v] = odd[p][v] = _mm256_setzero_si256();

  const auto widen_words = [&] {
    const __m256i zero = _mm256_setzero_si256();
    for (int p = 0; p < POSITIONS; ++p)
      for (int v = 0; v < 2; ++v) {
        const __m256i even = _mm256_sub_epi16(both[p][v], _mm256_slli_epi16(odd[p][v], 8));
        const __m256i low = _mm256_unpacklo_epi16(even, odd[p][v]);
        const __m256i high = _mm256_unpackhi_epi16(even, odd[p][v]);
        const __m256i z[4] = {_mm256_unpacklo_epi16(low, zero), _mm256_unpackhi_epi16(low, zero),
                              _mm256_unpacklo_epi16(high, zero), _mm256_unpackhi_epi16(high, zero)};
        for (int j = 0; j < 4; ++j) {
          int32_t *place = sums + p * BLOCK + 16 * j + 8 * v;
          store(place, _mm256_add_epi32(load(place), _mm256_slli_epi32(z[j], filter.shift)));
        }
        both[p][v] = odd[p][v] = zero;
      }
  };
  const LookupTap *tap = filter.tap, *const end = tap + filter.taps;
  while (tap != end) {
    if (tap->flush == 2) widen_words();
    __m256i bytes[POSITIONS][2];
    for (int p = 0; p < POSITIONS; ++p)
      for (int v = 0; v < 2; ++v) bytes[p][v] = _mm256_setzero_si256();
    do {
      const uint8_t *bytes_of_table = c.lookup_tables + tap->table;
      const __m256i table = _mm256_broadcastsi128_si256(
          _mm_loadu_si128(reinterpret_cast<const __m128i *>(bytes_of_table)));
      const uint8_t *x = rows[tap->kernel_row] + tap->offset;
      for (int p = 0; p < POSITIONS; ++p, x += step)
        for (int v = 0; v < 2; ++v)
          bytes[p][v] = _mm256_add_epi8(bytes[p][v], _mm256_shuffle_epi8(table, load(x + 32 * v)));
    } while (++tap != end && !tap->flush);
    for (int p = 0; p < POSITIONS; ++p)
      for (int v = 0; v < 2; ++v) {
        both[p][v] = _mm256_add_epi16(both[p][v], bytes[p][v]);
        odd[p][v] = _mm256_add_epi16(odd[p][v], _mm256_srli_epi16(bytes[p][v], 8));
      }
  }
  widen_words();
}

template <int POSITIONS>
inline void look_up(const Convolution &c, const LookupFilter &filter, const uint8_t *const *rows,
                    int64_t step, int32_t *sums) {
  if (filter.part == LOW_HALF || filter.part == HIGH_HALF)
    look_up_halves<POSITIONS>(c, filter, rows, step, sums);
  else
    generic::look_up<POSITIONS>(c, filter, rows, step, sums);
}

inline void requantise(const Sums &sums, const Requantisation &r, int8_t *to) {
  if (r.shift > 0) {
    int32_t values[BLOCK];
    sums.store_in_order(values);
    return scalar::requantise(values, r, to);
  }
  __m256i z[8];
  if (r.real.high) {
    const __m256 high = _mm256_set1_ps(r.real.high), low = _mm256_set1_ps(r.real.low);
    const __m256 half = _mm256_set1_ps(real_half(r.shift));
    for (int j = 0; j < 8; ++j) z[j] = real_rescale8(sums.part[j], high, low, half);
  } else {
    const __m256i m = _mm256_set1_epi32(r.multiplier);
    for (int j = 0; j < 8; ++j) z[j] = rescale8(sums.part[j], m, -r.shift);
  }
  // The zero point is added to 16 bits, saturating.
  const __m256i zero = _mm256_set1_epi16(int16_t(r.zero_point));
  const __m256i low = _mm256_set1_epi8(int8_t(r.low)), high = _mm256_set1_epi8(int8_t(r.high));
  for (int half = 0; half < 2; ++half) {
    const __m256i words[2] = {
        _mm256_adds_epi16(_mm256_packs_epi32(z[half], z[2 + half]), zero),
        _mm256_adds_epi16(_mm256_packs_epi32(z[4 + half], z[6 + half]), zero)};
    const __m256i bytes = _mm256_packs_epi16(words[0], words[1]);
    store(to + 32 * half, _mm256_min_epi8(_mm256_max_epi8(bytes, low), high));
  }
}

inline void map_planes(const uint8_t *tables, const HalfTables *halves, int planes, int64_t runs,
                       int64_t bytes, const uint8_t *from, uint8_t *to) {
  const auto half_table = [](const uint8_t *place) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i *>(place)));
  };
  const __m256i mask = _mm256_set1_epi8(0x0F);
  if (all_halves(halves, planes)) {
    for (; runs > 0; --runs, from += bytes, to += planes * bytes)
      for (int64_t i = 0; i < bytes; i += 32) {
        const __m256i index = load(from + i), low = _mm256_and_si256(index, mask);
        const __m256i high = _mm256_and_si256(_mm256_srli_epi16(index, 4), mask);
        for (int k = 0; k < planes; ++k) {
          const __m256i first = _mm256_shuffle_epi8(half_table(halves[k].low), low);
          const __m256i second = _mm256_shuffle_epi8(half_table(halves[k].high), high);
          store(to + k * bytes + i, _mm256_add_epi8(first, second));
        }
      }
    return;
  }
  for (int k = 0; k < planes; ++k) {
    const Table table(tables + 256 * k, true);
    for (int64_t run = 0; run < runs; ++run)
      for (int64_t i = 0; i < bytes; i += 32)
        store(to + (run * planes + k) * bytes + i, table(load(from + run * bytes + i)));
  }
}

inline void map(const uint8_t *table, int64_t count, const int8_t *from, int8_t *to) {
  const Table shuffles(table, true);
  for (int64_t i = 0; i < count; i += 32) store(to + i, shuffles(load(from + i)));
}

// What `eight` makes of eight pairs of values, zero points off, in 32 bits, to bytes.
template <class Eight>
inline void each_pair(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to,
                      const Eight &eight) {
  const __m256i zero_a = _mm256_set1_epi32(op.input_zero_point);
  const __m256i zero_b = _mm256_set1_epi32(op.second_zero_point);
  const __m256i zero = _mm256_set1_epi32(op.output_zero_point);
  const __m128i low = _mm_set1_epi8(int8_t(op.clamp_low));
  const __m128i high = _mm_set1_epi8(int8_t(op.clamp_high));
  const auto load = [](const int8_t *from, __m256i zero_point) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(from));
    return _mm256_sub_epi32(_mm256_cvtepi8_epi32(bytes), zero_point);
  };
  const auto words = [&](const int8_t *x, const int8_t *y) {
    const __m256i value = _mm256_add_epi32(eight(load(x, zero_a), load(y, zero_b)), zero);
    return _mm_packs_epi32(_mm256_castsi256_si128(value), _mm256_extracti128_si256(value, 1));
  };
  for (int k = 0; k < op.runs; ++k) {
    const Pairing &pairing = op.pairing[k];
    const int8_t *x = a + int64_t(pairing.first) * BLOCK;
    const int8_t *y = b + int64_t(pairing.second) * BLOCK;
    for (int p = 0; p < pairing.count; ++p, to += BLOCK) {
      for (int i = 0; i < BLOCK; i += 16) {
        const __m128i bytes = _mm_packs_epi16(words(x + i, y + i), words(x + i + 8, y + i + 8));
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
    return _mm256_set1_epi32(int32_t(uint16_t(first) | uint32_t(uint16_t(second)) << 16));
  };
  const __m256i high = pair(op.linear[0], op.linear[1]), low = pair(op.linear[2], op.linear[3]);
  const __m256i constant = _mm256_set1_epi32(op.linear_constant[0]);
  const __m256i low_constant = _mm256_set1_epi32(op.linear_constant[1]);
  const __m256i least = _mm256_set1_epi8(int8_t(op.clamp_low));
  const __m256i most = _mm256_set1_epi8(int8_t(op.clamp_high));
  const __m256i zero = _mm256_setzero_si256();
  const __m128i shift = _mm_cvtsi32_si128(op.linear_shift);
  const auto sum = [&](__m256i words) {
    const __m256i lower = _mm256_srai_epi32(
        _mm256_add_epi32(low_constant, _mm256_madd_epi16(words, low)), LINEAR_LOW_BITS);
    const __m256i upper = _mm256_add_epi32(constant, _mm256_madd_epi16(words, high));
    return _mm256_sra_epi32(_mm256_add_epi32(lower, upper), shift);
  };
  const auto two = [&](__m256i first, __m256i second) {
    return _mm256_packs_epi32(sum(_mm256_unpacklo_epi16(first, second)),
                              sum(_mm256_unpackhi_epi16(first, second)));
  };
  for (int k = 0; k < op.runs; ++k) {
    const Pairing &pairing = op.pairing[k];
    const int8_t *x = a + int64_t(pairing.first) * BLOCK;
    const int8_t *y = b + int64_t(pairing.second) * BLOCK;
    for (int p = 0; p < pairing.count; ++p, to += BLOCK) {
      for (int i = 0; i < BLOCK; i += 32) {
        const __m256i bytes_a = load(x + i), bytes_b = load(y + i);
        const __m256i words[2] = {
            two(_mm256_unpacklo_epi8(zero, bytes_a), _mm256_unpacklo_epi8(zero, bytes_b)),
            two(_mm256_unpackhi_epi8(zero, bytes_a), _mm256_unpackhi_epi8(zero, bytes_b))};
        const __m256i bytes = _mm256_packs_epi16(words[0], words[1]);
        store(to + i, _mm256_min_epi8(_mm256_max_epi8(bytes, least), most));
      }
      x += pairing.first_step * BLOCK;
      y += pairing.second_step * BLOCK;
    }
  }
}

inline void add(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to) {
  if (op.linear_shift) return linear_sum(op, a, b, to);
  if (op.shift[0] > 0 || op.shift[1] > 0 || op.shift[2] > 0) return scalar::add(op, a, b, to);
  __m256i m[3];
  for (int k = 0; k < 3; ++k) m[k] = _mm256_set1_epi32(op.multiplier[k]);
  const auto scaled = [&](int k, __m256i v) {
    return rescale8(_mm256_slli_epi32(v, ADD_LEFT_SHIFT), m[k], -op.shift[k]);
  };
  if (op.kind == SUBTRACT)
    each_pair(op, a, b, to, [&](__m256i x, __m256i y) {
      return rescale8(_mm256_sub_epi32(scaled(0, x), scaled(1, y)), m[2], -op.shift[2]);
    });
  else
    each_pair(op, a, b, to, [&](__m256i x, __m256i y) {
      return rescale8(_mm256_add_epi32(scaled(0, x), scaled(1, y)), m[2], -op.shift[2]);
    });
}

inline void multiply(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to) {
  if (op.shift[0] > 0) return scalar::multiply(op, a, b, to);
  const __m256i m = _mm256_set1_epi32(op.multiplier[0]);
  each_pair(op, a, b, to, [&](__m256i x, __m256i y) {
    return rescale8(_mm256_mullo_epi32(x, y), m, -op.shift[0]);
  });
}

}  // namespace axynq::avx2
