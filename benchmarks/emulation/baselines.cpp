// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// What emulators usually do, and what the processor could do at most.
#include <cstdint>
#include <cstring>

#if defined(__AVX512VNNI__)
#include <immintrin.h>
#endif

extern "C" {

// A convolution by table look-up, as published emulators do it: for every product one load from a
// 256 x 256 table. NHWC, already padded input; weights [filters][rows][columns][channels].
void lut_convolution(const uint8_t *x, const uint8_t *weights, const int32_t *table, int32_t *out,
                     int images, int in_rows, int in_columns, int channels, int filters,
                     int kernel_rows, int kernel_columns, int stride, int out_rows,
                     int out_columns) {
#pragma omp parallel for collapse(2) schedule(static)
  for (int n = 0; n < images; ++n)
    for (int row = 0; row < out_rows; ++row)
      for (int column = 0; column < out_columns; ++column)
        for (int f = 0; f < filters; ++f) {
          int32_t sum = 0;
          for (int i = 0; i < kernel_rows; ++i) {
            const uint8_t *a =
                x + ((int64_t(n) * in_rows + row * stride + i) * in_columns + column * stride) *
                        channels;
            const uint8_t *w = weights + (int64_t(f) * kernel_rows + i) * kernel_columns * channels;
            for (int k = 0; k < kernel_columns * channels; ++k) sum += table[a[k] << 8 | w[k]];
          }
          out[((int64_t(n) * out_rows + row) * out_columns + column) * filters + f] = sum;
        }
}

// Multiply-accumulates of bytes that all threads do in `rounds` rounds, with nothing in their way.
// Returns how many, or 0 where there is no byte dot product.
int64_t peak_products(int64_t rounds) {
#if defined(__AVX512VNNI__)
  int64_t total = 0;
#pragma omp parallel reduction(+ : total)
  {
    __m512i s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11;
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = s8 = s9 = s10 = s11 = _mm512_set1_epi32(int(rounds));
    const __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
#define AXYNQ_DOT(s) asm volatile("vpdpbusd %1, %2, %0" : "+v"(s) : "v"(b), "v"(a))
    for (int64_t r = 0; r < rounds; ++r) {
      AXYNQ_DOT(s0);
      AXYNQ_DOT(s1);
      AXYNQ_DOT(s2);
      AXYNQ_DOT(s3);
      AXYNQ_DOT(s4);
      AXYNQ_DOT(s5);
      AXYNQ_DOT(s6);
      AXYNQ_DOT(s7);
      AXYNQ_DOT(s8);
      AXYNQ_DOT(s9);
      AXYNQ_DOT(s10);
      AXYNQ_DOT(s11);
    }
    total += rounds * 12 * 64;
  }
  return total;
#else
  (void)rounds;
  return 0;
#endif
}
}
