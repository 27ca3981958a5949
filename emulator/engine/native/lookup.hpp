// Sums of looked-up bytes: the part of a multiplier that has no short sum of separable terms.
#pragma once

#include "vectors.hpp"

namespace axynq {

// Looked-up bytes are summed in bytes, those in 16-bit words, those in 32 bits. Before which taps of
// a filter byte sums (1), and word sums too (2), are widened, lest they overflow.
inline void flushes(const int32_t *ranges, int64_t taps, int32_t *flush) {
  constexpr int BYTE_LIMIT = 255, WORD_LIMIT = 65535;
  int in_bytes = 0, in_words = 0;
  for (int64_t t = 0; t < taps; ++t) {
    flush[t] = 0;
    if (in_bytes + ranges[t] > BYTE_LIMIT) {
      flush[t] = 1;
      in_words += in_bytes;
      if (in_words + BYTE_LIMIT > WORD_LIMIT) {
        flush[t] = 2;
        in_words = 0;
      }
      in_bytes = 0;
    }
    in_bytes += ranges[t];
  }
}


#if defined(AXYNQ_PATH_AVX2)

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

#endif

// Adds to the sums of POSITIONS neighbouring output positions what the filter's taps look up.
// Activations of the tap at position p are at `row + p * step`; sums of position p at
// `sums + p * BLOCK`, in quad order.
template <int POSITIONS>
inline void look_up(const Convolution &c, const LookupFilter &filter,
                    const uint8_t *const *tap_rows, int64_t step, int32_t *sums) {
#if defined(AXYNQ_PATH_AVX512)
  const __m512i low_byte = _mm512_set1_epi16(0x00FF);
  __m512i bytes[POSITIONS], even[POSITIONS], odd[POSITIONS];
  for (int p = 0; p < POSITIONS; ++p)
    bytes[p] = even[p] = odd[p] = _mm512_setzero_si512();

  const auto widen_bytes = [&] {
    for (int p = 0; p < POSITIONS; ++p) {
      even[p] = _mm512_add_epi16(even[p], _mm512_and_si512(bytes[p], low_byte));
      odd[p] = _mm512_add_epi16(odd[p], _mm512_srli_epi16(bytes[p], 8));
      bytes[p] = _mm512_setzero_si512();
    }
  };
  const auto widen_words = [&] {
    const __m512i zero = _mm512_setzero_si512();
    for (int p = 0; p < POSITIONS; ++p) {
      const __m512i low = _mm512_unpacklo_epi16(even[p], odd[p]);
      const __m512i high = _mm512_unpackhi_epi16(even[p], odd[p]);
      const __m512i z[4] = {_mm512_unpacklo_epi16(low, zero), _mm512_unpackhi_epi16(low, zero),
                            _mm512_unpacklo_epi16(high, zero), _mm512_unpackhi_epi16(high, zero)};
      for (int j = 0; j < 4; ++j) {
        int32_t *place = sums + p * BLOCK + 16 * j;
        _mm512_storeu_si512(place, _mm512_add_epi32(_mm512_loadu_si512(place),
                                                    _mm512_slli_epi32(z[j], filter.shift)));
      }
      even[p] = odd[p] = zero;
    }
  };
  for (int t = 0; t < filter.taps; ++t) {
    const LookupTap &tap = filter.tap[t];
    if (tap.flush) {
      widen_bytes();
      if (tap.flush == 2) widen_words();
    }
    const Table table(c.lookup_tables + 256 * tap.table);
    const uint8_t *x = tap_rows[t];
    for (int p = 0; p < POSITIONS; ++p)
      bytes[p] = _mm512_add_epi8(bytes[p], table(_mm512_load_si512(x + p * step)));
  }
  widen_bytes();
  widen_words();
#else
#if defined(AXYNQ_PATH_AVX2)
  if (filter.part != WHOLE_BYTE) {
    look_up_halves<POSITIONS>(c, filter, tap_rows, step, sums);
    return;
  }
#endif
  int32_t totals[POSITIONS * BLOCK] = {};
  for (int t = 0; t < filter.taps; ++t) {
    const uint8_t *table = c.lookup_tables + 256 * filter.tap[t].table;
    for (int p = 0; p < POSITIONS; ++p) {
      const uint8_t *x = tap_rows[t] + p * step;
      int32_t *total = totals + p * BLOCK;
      for (int n = 0; n < BLOCK; ++n) total[n] += table[x[n]];
    }
  }
  for (int p = 0; p < POSITIONS; ++p)
    for (int k = 0; k < BLOCK; ++k)
      sums[p * BLOCK + k] += totals[p * BLOCK + quad_image(k)] << filter.shift;
#endif
}

}  // namespace axynq
