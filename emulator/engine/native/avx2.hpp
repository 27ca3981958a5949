// AVX2. instructions.hpp says what each part does.
#pragma once

#include <immintrin.h>

#include "generic.hpp"

namespace axynq::avx2 {

// There is no byte dot product; products of 16-bit words need words.
constexpr bool WIDE_WEIGHTS = true;
constexpr bool GROUP_LOOKUPS = false;
constexpr bool TILES = false;
using Thread = NoThread;
constexpr auto tile_products = no_tile_products;
constexpr auto tile_products_of_one = no_tile_products_of_one;
constexpr auto real_factor = no_real_factor;

using generic::Sums;

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

template <int FILTERS>
inline void dot_products(const FilterBlock &block, const uint8_t *const *rows, int64_t quarter,
                         Sums sums[FILTERS]) {
  // Without a byte dot product: bytes 0 and 2, then 1 and 3, as pairs of 16 bits; the weights come
  // widened, in that order. Sixteen sums at a time.
  const auto load = [](const void *from) {
    return _mm256_load_si256(static_cast<const __m256i *>(from));
  };
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
      for (int j = 0; j < 2; ++j)
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(sums[f].part + 16 * part + 8 * j),
                            acc[f][j]);
  }
}

// Half bytes have tables of sixteen bytes, which fit a register.
template <int POSITIONS>
inline void look_up_halves(const Convolution &c, const LookupFilter &filter,
                           const uint8_t *const *tap_rows, int64_t step, int32_t *sums) {
  const __m256i zero = _mm256_setzero_si256(), low_byte = _mm256_set1_epi16(0x00FF);
  __m256i bytes[POSITIONS][2], even[POSITIONS][2], odd[POSITIONS][2];
  for (int p = 0; p < POSITIONS; ++p)
    for (int v = 0; v < 2; ++v) bytes[p][v] = even[p][v] = odd[p][v] = zero;

  const auto widen_bytes = [&] {
    for (int p = 0; p < POSITIONS; ++p)
      for (int v = 0; v < 2; ++v) {
        even[p][v] = _mm256_add_epi16(even[p][v], _mm256_and_si256(bytes[p][v], low_byte));
        odd[p][v] = _mm256_add_epi16(odd[p][v], _mm256_srli_epi16(bytes[p][v], 8));
        bytes[p][v] = zero;
      }
  };
  const auto widen_words = [&] {
    for (int p = 0; p < POSITIONS; ++p)
      for (int v = 0; v < 2; ++v) {
        const __m256i low = _mm256_unpacklo_epi16(even[p][v], odd[p][v]);
        const __m256i high = _mm256_unpackhi_epi16(even[p][v], odd[p][v]);
        const __m256i z[4] = {_mm256_unpacklo_epi16(low, zero), _mm256_unpackhi_epi16(low, zero),
                              _mm256_unpacklo_epi16(high, zero), _mm256_unpackhi_epi16(high, zero)};
        for (int j = 0; j < 4; ++j) {
          auto *place = reinterpret_cast<__m256i *>(sums + p * BLOCK + 16 * j + 8 * v);
          _mm256_storeu_si256(place, _mm256_add_epi32(_mm256_loadu_si256(place),
                                                      _mm256_slli_epi32(z[j], filter.shift)));
        }
        even[p][v] = odd[p][v] = zero;
      }
  };
  for (int t = 0; t < filter.taps; ++t) {
    const LookupTap &tap = filter.tap[t];
    if (tap.flush) {
      widen_bytes();
      if (tap.flush == 2) widen_words();
    }
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_loadu_si128(reinterpret_cast<const __m128i *>(c.lookup_tables + 256 * tap.table)));
    const uint8_t *x = tap_rows[t];
    for (int p = 0; p < POSITIONS; ++p)
      for (int v = 0; v < 2; ++v) {
        const auto *index = reinterpret_cast<const __m256i *>(x + p * step + 32 * v);
        bytes[p][v] =
            _mm256_add_epi8(bytes[p][v], _mm256_shuffle_epi8(table, _mm256_load_si256(index)));
      }
  }
  widen_bytes();
  widen_words();
}

template <int POSITIONS>
inline void look_up(const Convolution &c, const LookupFilter &filter,
                    const uint8_t *const *tap_rows, int64_t step, int32_t *sums) {
  if (filter.part == LOW_HALF || filter.part == HIGH_HALF)
    look_up_halves<POSITIONS>(c, filter, tap_rows, step, sums);
  else
    generic::look_up<POSITIONS>(c, filter, tap_rows, step, sums);
}

inline void requantise(const Sums &sums, const Requantisation &r, int8_t *to) {
  if (r.shift <= 0) {
    const __m256i m = _mm256_set1_epi32(r.multiplier);
    const __m256i zero = _mm256_set1_epi16(int16_t(r.zero_point));
    const __m256i low = _mm256_set1_epi8(int8_t(r.low)), high = _mm256_set1_epi8(int8_t(r.high));
    // The zero point is added to 16 bits, saturating.
    for (int half = 0; half < 2; ++half) {
      __m256i z[4];
      for (int j = 0; j < 4; ++j) {
        const __m256i v =
            _mm256_loadu_si256(reinterpret_cast<const __m256i *>(sums.part + 16 * j + 8 * half));
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
  int32_t values[BLOCK];
  sums.store_in_order(values);
  scalar::requantise(values, r, to);
}

inline void map_planes(const uint8_t *tables, const HalfTables *halves, int planes, int64_t runs,
                       int64_t bytes, const uint8_t *from, uint8_t *to) {
  const auto load = [](const uint8_t *place) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(place));
  };
  const auto store = [](uint8_t *place, __m256i value) {
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(place), value);
  };
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
  for (int64_t i = 0; i < count; i += 32)
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(to + i),
                        shuffles(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(from + i))));
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

inline void add(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to) {
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
