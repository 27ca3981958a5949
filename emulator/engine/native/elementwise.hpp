// Operators that do not multiply by weights, on one block of images.
#pragma once

#include <algorithm>

#include "vectors.hpp"

namespace axynq {

inline void add(const Operator &op, int64_t elements, const int8_t *a, const int8_t *b, int8_t *to) {
  constexpr int LEFT_SHIFT = 20;
#if defined(AXYNQ_PATH_AVX512)
  if (op.shift[0] <= 0 && op.shift[1] <= 0 && op.shift[2] <= 0) {
    __m512i m[3], e[3];
    for (int k = 0; k < 3; ++k) {
      m[k] = _mm512_set1_epi32(op.multiplier[k]);
      e[k] = _mm512_set1_epi32(-op.shift[k]);
    }
    const __m512i zero_a = _mm512_set1_epi32(op.input_zero_point);
    const __m512i zero_b = _mm512_set1_epi32(op.second_zero_point);
    const __m512i zero = _mm512_set1_epi32(op.output_zero_point);
    const __m128i low = _mm_set1_epi8(int8_t(op.clamp_low));
    const __m128i high = _mm_set1_epi8(int8_t(op.clamp_high));
    for (int64_t i = 0; i < elements * BLOCK; i += 16) {
      const auto load = [&](const int8_t *from, __m512i zero_point) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(from + i));
        return _mm512_slli_epi32(_mm512_sub_epi32(_mm512_cvtepi8_epi32(bytes), zero_point),
                                 LEFT_SHIFT);
      };
      // The operand of the larger scale is halved, which widening has made exact.
      const auto scaled = [&](int k, __m512i v) {
        return op.multiplier[k] == 1 << 30 && op.shift[k] == 0
                   ? _mm512_srai_epi32(v, 1)
                   : rescale16(v, m[k], e[k]);
      };
      const __m512i sum = _mm512_add_epi32(scaled(0, load(a, zero_a)), scaled(1, load(b, zero_b)));
      const __m512i y = _mm512_add_epi32(rescale16(sum, m[2], e[2]), zero);
      const __m128i bytes = _mm512_cvtsepi32_epi8(y);
      _mm_storeu_si128(reinterpret_cast<__m128i *>(to + i),
                       _mm_min_epi8(_mm_max_epi8(bytes, low), high));
    }
    return;
  }
#elif defined(AXYNQ_PATH_AVX2)
  if (op.shift[0] <= 0 && op.shift[1] <= 0 && op.shift[2] <= 0) {
    __m256i m[3];
    for (int k = 0; k < 3; ++k) m[k] = _mm256_set1_epi32(op.multiplier[k]);
    const __m256i zero_a = _mm256_set1_epi32(op.input_zero_point);
    const __m256i zero_b = _mm256_set1_epi32(op.second_zero_point);
    const __m256i zero = _mm256_set1_epi32(op.output_zero_point);
    const __m128i low = _mm_set1_epi8(int8_t(op.clamp_low));
    const __m128i high = _mm_set1_epi8(int8_t(op.clamp_high));
    const auto scaled = [&](const int8_t *from, __m256i zero_point, int k) {
      const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(from));
      const __m256i v = _mm256_slli_epi32(
          _mm256_sub_epi32(_mm256_cvtepi8_epi32(bytes), zero_point), LEFT_SHIFT);
      return rescale8(v, m[k], -op.shift[k]);
    };
    const auto eight = [&](int64_t i) {
      const __m256i sum =
          _mm256_add_epi32(scaled(a + i, zero_a, 0), scaled(b + i, zero_b, 1));
      const __m256i y = _mm256_add_epi32(rescale8(sum, m[2], -op.shift[2]), zero);
      return _mm_packs_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
    };
    for (int64_t i = 0; i < elements * BLOCK; i += 16) {
      const __m128i bytes = _mm_packs_epi16(eight(i), eight(i + 8));
      _mm_storeu_si128(reinterpret_cast<__m128i *>(to + i),
                       _mm_min_epi8(_mm_max_epi8(bytes, low), high));
    }
    return;
  }
#endif
  // Each operand has 256 values: rescale those once.
  int32_t table_a[256], table_b[256];
  for (int x = -128; x < 128; ++x) {
    table_a[x + 128] =
        rescale((x - op.input_zero_point) * (1 << LEFT_SHIFT), op.multiplier[0], op.shift[0]);
    table_b[x + 128] =
        rescale((x - op.second_zero_point) * (1 << LEFT_SHIFT), op.multiplier[1], op.shift[1]);
  }
  for (int64_t i = 0; i < elements * BLOCK; ++i) {
    const int32_t sum = table_a[a[i] + 128] + table_b[b[i] + 128];
    to[i] = quantised(rescale(sum, op.multiplier[2], op.shift[2]), op.output_zero_point,
                      op.clamp_low, op.clamp_high);
  }
}

// Maximum, average or mean over windows' positions inside the map.
inline void pool(const Operator &op, const Tensor &in, const Tensor &out, const int8_t *from,
                 int8_t *to) {
  for (int channel = 0; channel < out.channels; ++channel)
    for (int row = 0; row < out.rows; ++row)
      for (int column = 0; column < out.columns; ++column, to += BLOCK) {
        const int top = row * op.stride_rows - op.padding_top;
        const int left = column * op.stride_columns - op.padding_left;
        const int bottom = std::min(top + op.window_rows, in.rows);
        const int right = std::min(left + op.window_columns, in.columns);
        int32_t totals[BLOCK];
        for (int n = 0; n < BLOCK; ++n) totals[n] = op.kind == MAX_POOL ? -128 : 0;
        int count = 0;
        for (int y = std::max(top, 0); y < bottom; ++y)
          for (int x = std::max(left, 0); x < right; ++x) {
            const int8_t *pixel =
                from + ((int64_t(channel) * in.rows + y) * in.columns + x) * BLOCK;
            ++count;
            if (op.kind == MAX_POOL)
              for (int n = 0; n < BLOCK; ++n) totals[n] = std::max<int32_t>(totals[n], pixel[n]);
            else
              for (int n = 0; n < BLOCK; ++n) totals[n] += pixel[n];
          }
        for (int n = 0; n < BLOCK; ++n) {
          int32_t value = totals[n], zero_point = 0;
          if (op.kind == AVERAGE_POOL)
            value = (value > 0 ? value + count / 2 : value - count / 2) / count;
          if (op.kind == MEAN) {
            value = rescale(value - count * op.input_zero_point, op.multiplier[2], op.shift[2]);
            zero_point = op.output_zero_point;
          }
          to[n] = quantised(value, zero_point, op.clamp_low, op.clamp_high);
        }
      }
}

inline void pad(const Operator &op, const Tensor &in, const Tensor &out, const int8_t *from,
                int8_t *to) {
  for (int channel = 0; channel < out.channels; ++channel)
    for (int row = 0; row < out.rows; ++row)
      for (int column = 0; column < out.columns; ++column, to += BLOCK) {
        const int y = row - op.padding_top, x = column - op.padding_left;
        if (y >= 0 && y < in.rows && x >= 0 && x < in.columns)
          std::memcpy(to, from + ((int64_t(channel) * in.rows + y) * in.columns + x) * BLOCK, BLOCK);
        else
          std::memset(to, op.output_zero_point, BLOCK);
      }
}

// Values keep their order with channels innermost.
inline void reshape(const Tensor &in, const Tensor &out, const int8_t *from, int8_t *to) {
  const int64_t elements = int64_t(in.rows) * in.columns * in.channels;
  const int64_t in_pixels = int64_t(in.rows) * in.columns;
  const int64_t out_pixels = int64_t(out.rows) * out.columns;
  for (int64_t i = 0; i < elements; ++i) {
    const int64_t source = i % in.channels * in_pixels + i / in.channels;
    const int64_t target = i % out.channels * out_pixels + i / out.channels;
    std::memcpy(to + target * BLOCK, from + source * BLOCK, BLOCK);
  }
}

// 64 images [rows, columns, channels] to a planar block, and back. Images that do not exist repeat
// the last one.
inline void to_planar(const Tensor &tensor, const int8_t *images, int count, int8_t *planar) {
  const int64_t pixels = int64_t(tensor.rows) * tensor.columns;
  const int64_t elements = pixels * tensor.channels;
  for (int64_t p = 0; p < pixels; ++p)
    for (int c = 0; c < tensor.channels; ++c) {
      int8_t *to = planar + (c * pixels + p) * BLOCK;
      const int8_t *from = images + p * tensor.channels + c;
      for (int n = 0; n < BLOCK; ++n) to[n] = from[std::min(n, count - 1) * elements];
    }
}

using Sixteen = int8_t __attribute__((vector_size(16)));

#if defined(__clang__) || __GNUC__ >= 12
#define AXYNQ_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define AXYNQ_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Sixteen{__VA_ARGS__})
#endif

// Sixteen rows of sixteen bytes to columns. Each round puts half of the rows between the others,
// which turns the bits of an element's row and column by one.
inline void transpose16(const int8_t *from, int64_t from_row, int8_t *to, int64_t to_row) {
  Sixteen rows[2][16];
  for (int i = 0; i < 16; ++i) std::memcpy(&rows[0][i], from + i * from_row, 16);
  for (int round = 0; round < 4; ++round) {
    const Sixteen *in = rows[round % 2];
    Sixteen *out = rows[1 - round % 2];
    for (int i = 0; i < 8; ++i) {
      out[2 * i] = AXYNQ_SHUFFLE(in[i], in[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22,
                                 7, 23);
      out[2 * i + 1] = AXYNQ_SHUFFLE(in[i], in[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29,
                                     14, 30, 15, 31);
    }
  }
  for (int i = 0; i < 16; ++i) std::memcpy(to + i * to_row, &rows[0][i], 16);
}

inline void from_planar(const Tensor &tensor, const int8_t *planar, int count, int8_t *images) {
  const int64_t pixels = int64_t(tensor.rows) * tensor.columns;
  const int64_t elements = pixels * tensor.channels;
  const int whole_channels = tensor.channels / 16 * 16, whole_images = count / 16 * 16;
  for (int64_t p = 0; p < pixels; ++p) {
    const int8_t *from = planar + p * BLOCK;
    int8_t *to = images + p * tensor.channels;
    for (int c = 0; c < whole_channels; c += 16)
      for (int n = 0; n < whole_images; n += 16)
        transpose16(from + c * pixels * BLOCK + n, pixels * BLOCK, to + n * elements + c, elements);
    for (int c = 0; c < tensor.channels; ++c)
      for (int n = c < whole_channels ? whole_images : 0; n < count; ++n)
        to[n * elements + c] = from[c * pixels * BLOCK + n];
  }
}

}  // namespace axynq
