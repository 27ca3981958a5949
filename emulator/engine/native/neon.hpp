// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// NEON of any 64-bit ARM processor, and of 32-bit ones that have it. instructions.hpp says what
// each part does.
#pragma once

#include <arm_neon.h>

#include "generic.hpp"

namespace axynq::neon {

constexpr bool WIDE_WEIGHTS = false;
constexpr bool GROUP_LOOKUPS = false;
constexpr bool TILES = false;
using Thread = NoThread;
constexpr auto tile_products = no_tile_products;
constexpr auto tile_products_of_one = no_tile_products_of_one;
constexpr auto real_factor = no_real_factor;

#ifdef __aarch64__
constexpr int REGISTERS = 32;
#else
constexpr int REGISTERS = 16;
#endif

constexpr int LOOKUP_POSITIONS = REGISTERS / 8;

inline int8x16_t as_signed(uint8x16_t value) { return vreinterpretq_s8_u8(value); }

// Part 4 j + L holds the images 16 L + 4 j and the next three.
struct Sums {
  int32x4_t part[16];

  void load(const int32_t *values) {
    for (int k = 0; k < 16; ++k) part[k] = vld1q_s32(values + 4 * k);
  }
  void add(int32_t value) {
    for (auto &p : part) p = vaddq_s32(p, vdupq_n_s32(value));
  }
  void add(const int32_t *values) {
    for (int k = 0; k < 16; ++k) part[k] = vaddq_s32(part[k], vld1q_s32(values + 4 * k));
  }
  void shift_left(int bits) {
    for (auto &p : part) p = vshlq_s32(p, vdupq_n_s32(bits));
  }
  void store_in_order(int32_t *to) const {
    for (int k = 0; k < 16; ++k) vst1q_s32(to + 16 * (k % 4) + 4 * (k / 4), part[k]);
  }
};

// A table of sixteen bytes, for indices below sixteen.
struct HalfTable {
#ifdef __aarch64__
  uint8x16_t bytes;
  explicit HalfTable(const uint8_t *table) : bytes(vld1q_u8(table)) {}
  uint8x16_t operator()(uint8x16_t index) const { return vqtbl1q_u8(bytes, index); }
#else
  uint8x8x2_t bytes;
  explicit HalfTable(const uint8_t *table) : bytes{{vld1_u8(table), vld1_u8(table + 8)}} {}
  uint8x16_t operator()(uint8x16_t index) const {
    return vcombine_u8(vtbl2_u8(bytes, vget_low_u8(index)), vtbl2_u8(bytes, vget_high_u8(index)));
  }
#endif
};

// A table of 256 bytes. The bytes it maps most often are those of exact multipliers, where the
// table only flips bits.
struct Table {
  const uint8_t *bytes;
  bool flips;
#ifdef __aarch64__
  uint8x16x4_t part[4];
#endif
  explicit Table(const uint8_t *table, bool may_flip = false) : bytes(table), flips(may_flip) {
    for (int k = 0; flips && k < 256; ++k) flips = table[k] == (table[0] ^ k);
#ifdef __aarch64__
    for (int k = 0; k < 16; ++k) part[k / 4].val[k % 4] = vld1q_u8(table + 16 * k);
#endif
  }
  uint8x16_t operator()(uint8x16_t index) const {
#ifdef __aarch64__
    // An index beyond a part leaves what was found before.
    const uint8x16_t step = vdupq_n_u8(64);
    uint8x16_t found = vqtbl4q_u8(part[0], index);
    for (int k = 1; k < 4; ++k) {
      index = vsubq_u8(index, step);
      found = vqtbx4q_u8(found, part[k], index);
    }
    return found;
#else
    uint8_t each[16];
    vst1q_u8(each, index);
    for (uint8_t &byte : each) byte = bytes[byte];
    return vld1q_u8(each);
#endif
  }
};

inline void map_and_interleave(const Table &table, const uint8_t *const from[4],
                               const uint8_t *padding, uint8_t *to, int64_t quarter) {
  const uint8x16_t flipped = vdupq_n_u8(table.bytes[0]);
  for (int first = 0; first < BLOCK; first += 16, to += 16) {
    uint8x16_t mapped[4];
    for (int k = 0; k < 4; ++k) {
      const uint8x16_t bytes = vld1q_u8(from[k] + first);
      mapped[k] = from[k] == padding ? bytes
                  : table.flips      ? veorq_u8(bytes, flipped)
                                     : table(bytes);
    }
    const uint8x16x2_t ab = vzipq_u8(mapped[0], mapped[1]), cd = vzipq_u8(mapped[2], mapped[3]);
    for (int half = 0; half < 2; ++half) {
      const uint16x8x2_t four =
          vzipq_u16(vreinterpretq_u16_u8(ab.val[half]), vreinterpretq_u16_u8(cd.val[half]));
      for (int k = 0; k < 2; ++k)
        vst1q_u8(to + (2 * half + k) * quarter, vreinterpretq_u8_u16(four.val[k]));
    }
  }
}

// `rescale` for four sums and without a left shift. vqrdmulh rounds halves up, as it must, and
// saturates only where both factors are -2^31. vrshl rounds halves up too: negative values are one
// less before it, unless the exponent is zero.
inline int32x4_t rescale4(int32x4_t v, int32x4_t multiplier, int32x4_t minus_exponent) {
  const int32x4_t high = vqrdmulhq_s32(v, multiplier);
  const int32x4_t below = vshrq_n_s32(vandq_s32(high, minus_exponent), 31);
  return vrshlq_s32(vaddq_s32(high, below), minus_exponent);
}

// Activations are multiplied as signed bytes, 128 less: what is missing is 128 times the sum of the
// weights.
struct Missing {
  int32_t sum[VECTOR_FILTERS + 1];
  bool any_lowest;  // whether a weight is -128
};

template <int FILTERS>
inline Missing missing_sums(const FilterBlock &block) {
  constexpr int PAIRS = (FILTERS + 1) / 2;
  int32x2_t sums[PAIRS];
  int8x8_t least = vdup_n_s8(0);
  for (auto &s : sums) s = vdup_n_s32(0);
  const int8_t *weights = block.weights;
  for (int s = 0; s < block.segments; ++s) {
    const Segment &segment = block.segment[s];
    for (auto &sum : sums) sum = vshl_s32(sum, vdup_n_s32(segment.shift));
    for (int g = 0; g < segment.groups; ++g, weights += 4 * FILTERS)
      for (int k = 0; k < PAIRS; ++k) {
        int8_t eight[8] = {};
        std::memcpy(eight, weights + 8 * k, 2 * k + 1 < FILTERS ? 8 : 4);
        const int8x8_t w = vld1_s8(eight);
        sums[k] = vpadal_s16(sums[k], vpaddl_s8(w));
        least = vmin_s8(least, w);
      }
  }
  Missing missing;
  for (int k = 0; k < PAIRS; ++k) vst1_s32(missing.sum + 2 * k, vshl_n_s32(sums[k], 7));
  int8_t all[8];
  vst1_s8(all, least);
  missing.any_lowest = false;
  for (int8_t one : all) missing.any_lowest |= one == -128;
  return missing;
}

// Products of bytes as words, for filters from FIRST on, as many as have their sums in registers.
// Two products fit a word, unless both are -128 times -128: words of two groups are added before
// they are widened if TWO says that no weight is -128.
template <int FILTERS, int FIRST, bool TWO>
inline void word_products(const FilterBlock &block, const uint8_t *const *rows, int64_t quarter,
                          const Missing &missing, Sums sums[FILTERS]) {
  constexpr int MOST = REGISTERS == 32 ? VECTOR_FILTERS : 3;
  constexpr int HERE = FILTERS - FIRST < MOST ? FILTERS - FIRST : MOST;
  const uint8x16_t flip = vdupq_n_u8(0x80);
  const auto weights_at = [](const int8_t *weights) {
    return vreinterpret_s8_s32(vld1_dup_s32(reinterpret_cast<const int32_t *>(weights)));
  };
  for (int part = 0; part < 16; ++part) {  // four images
    int32x4_t low[HERE], high[HERE];       // sums of two taps each: of two images, of two others
    for (int f = 0; f < HERE; ++f) low[f] = high[f] = vdupq_n_s32(0);
    const int8_t *weights = block.weights + 4 * FIRST;
    for (int s = 0; s < block.segments; ++s) {
      const Segment &segment = block.segment[s];
      const int32x4_t shift = vdupq_n_s32(segment.shift);
      for (int f = 0; f < HERE; ++f) {
        low[f] = vshlq_s32(low[f], shift);
        high[f] = vshlq_s32(high[f], shift);
      }
      const uint8_t *x = rows[s] + part / 4 * quarter + part % 4 * 16;
      int g = 0;
      for (; TWO && g + 1 < segment.groups; g += 2, x += 2 * BLOCK, weights += 8 * FILTERS) {
        const int8x16_t a = as_signed(veorq_u8(vld1q_u8(x), flip));
        const int8x16_t b = as_signed(veorq_u8(vld1q_u8(x + BLOCK), flip));
        for (int f = 0; f < HERE; ++f) {
          const int8x8_t of_a = weights_at(weights + 4 * f);
          const int8x8_t of_b = weights_at(weights + 4 * (FILTERS + f));
          const int16x8_t first = vmull_s8(vget_low_s8(a), of_a);
          const int16x8_t second = vmull_s8(vget_high_s8(a), of_a);
          low[f] = vpadalq_s16(low[f], vmlal_s8(first, vget_low_s8(b), of_b));
          high[f] = vpadalq_s16(high[f], vmlal_s8(second, vget_high_s8(b), of_b));
        }
      }
      for (; g < segment.groups; ++g, x += BLOCK, weights += 4 * FILTERS) {
        const int8x16_t a = as_signed(veorq_u8(vld1q_u8(x), flip));
        for (int f = 0; f < HERE; ++f) {
          const int8x8_t w = weights_at(weights + 4 * f);
          low[f] = vpadalq_s16(low[f], vmull_s8(vget_low_s8(a), w));
          high[f] = vpadalq_s16(high[f], vmull_s8(vget_high_s8(a), w));
        }
      }
    }
    for (int f = 0; f < HERE; ++f) {
      const int32x4_t four = vcombine_s32(vpadd_s32(vget_low_s32(low[f]), vget_high_s32(low[f])),
                                          vpadd_s32(vget_low_s32(high[f]), vget_high_s32(high[f])));
      sums[FIRST + f].part[part] = vaddq_s32(four, vdupq_n_s32(missing.sum[FIRST + f]));
    }
  }
  if constexpr (FIRST + HERE < FILTERS)
    word_products<FILTERS, FIRST + HERE, TWO>(block, rows, quarter, missing, sums);
}

template <int FILTERS>
inline void dot_products(const FilterBlock &block, const uint8_t *const *rows, int64_t quarter,
                         Sums sums[FILTERS]) {
  const Missing missing = missing_sums<FILTERS>(block);
  if (missing.any_lowest)
    word_products<FILTERS, 0, false>(block, rows, quarter, missing, sums);
  else
    word_products<FILTERS, 0, true>(block, rows, quarter, missing, sums);
}

// As many positions at a time as their byte sums fit registers; `offset` is added to each row.
template <int POSITIONS, int MOST, class TapTable>
inline void look_up_in(const Convolution &c, const LookupFilter &filter, const uint8_t *const *rows,
                       int64_t offset, int64_t step, int32_t *sums) {
  if constexpr (POSITIONS > MOST) {
    constexpr int FEWER = POSITIONS / 2;
    look_up_in<FEWER, MOST, TapTable>(c, filter, rows, offset, step, sums);
    look_up_in<POSITIONS - FEWER, MOST, TapTable>(c, filter, rows, offset + FEWER * step, step,
                                                  sums + FEWER * BLOCK);
    return;
  }
  uint16x8_t words[POSITIONS][4][2];  // [position][sixteen images][eight]
  const auto clear_words = [&] {
    for (auto &position : words)
      for (auto &vector : position)
        for (auto &half : vector) half = vdupq_n_u16(0);
  };
  const auto widen_words = [&] {
    const int32x4_t shift = vdupq_n_s32(filter.shift);
    for (int p = 0; p < POSITIONS; ++p)
      for (int v = 0; v < 4; ++v)
        for (int j = 0; j < 4; ++j) {
          const uint16x8_t eight = words[p][v][j / 2];
          const uint16x4_t four = j % 2 ? vget_high_u16(eight) : vget_low_u16(eight);
          const int32x4_t wide = vreinterpretq_s32_u32(vmovl_u16(four));
          int32_t *place = sums + p * BLOCK + 16 * j + 4 * v;
          vst1q_s32(place, vaddq_s32(vld1q_s32(place), vshlq_s32(wide, shift)));
        }
  };
  clear_words();
  const LookupTap *tap = filter.tap, *const end = tap + filter.taps;
  while (tap != end) {
    if (tap->flush == 2) {
      widen_words();
      clear_words();
    }
    uint8x16_t bytes[POSITIONS][4];
    for (auto &position : bytes)
      for (auto &vector : position) vector = vdupq_n_u8(0);
    do {
      const TapTable table(c.lookup_tables + tap->table);
      const uint8_t *x = rows[tap->kernel_row] + tap->offset + offset;
      for (int p = 0; p < POSITIONS; ++p, x += step)
        for (int v = 0; v < 4; ++v)
          bytes[p][v] = vaddq_u8(bytes[p][v], table(vld1q_u8(x + 16 * v)));
    } while (++tap != end && !tap->flush);
    for (int p = 0; p < POSITIONS; ++p)
      for (int v = 0; v < 4; ++v) {
        words[p][v][0] = vaddw_u8(words[p][v][0], vget_low_u8(bytes[p][v]));
        words[p][v][1] = vaddw_u8(words[p][v][1], vget_high_u8(bytes[p][v]));
      }
  }
  widen_words();
}

template <int POSITIONS>
inline void look_up(const Convolution &c, const LookupFilter &filter, const uint8_t *const *rows,
                    int64_t step, int32_t *sums) {
  if (filter.part == LOW_HALF || filter.part == HIGH_HALF)
    look_up_in<POSITIONS, LOOKUP_POSITIONS, HalfTable>(c, filter, rows, 0, step, sums);
#ifdef __aarch64__
  else
    look_up_in<POSITIONS, 2, Table>(c, filter, rows, 0, step, sums);
#else
  else
    generic::look_up<POSITIONS>(c, filter, rows, step, sums);
#endif
}

// Sixteen values of 32 bits to bytes within bounds, saturating.
inline int8x16_t to_bytes(const int32x4_t v[4], int16x8_t zero, int8x16_t low, int8x16_t high) {
  const int16x8_t first = vcombine_s16(vqmovn_s32(v[0]), vqmovn_s32(v[1]));
  const int16x8_t second = vcombine_s16(vqmovn_s32(v[2]), vqmovn_s32(v[3]));
  const int8x16_t bytes =
      vcombine_s8(vqmovn_s16(vqaddq_s16(first, zero)), vqmovn_s16(vqaddq_s16(second, zero)));
  return vminq_s8(vmaxq_s8(bytes, low), high);
}

inline void requantise(const Sums &sums, const Requantisation &r, int8_t *to) {
  if (r.shift > 0) {
    int32_t values[BLOCK];
    sums.store_in_order(values);
    return scalar::requantise(values, r, to);
  }
  const int32x4_t m = vdupq_n_s32(r.multiplier), e = vdupq_n_s32(r.shift);
  const int16x8_t zero = vdupq_n_s16(int16_t(r.zero_point));
  const int8x16_t low = vdupq_n_s8(int8_t(r.low)), high = vdupq_n_s8(int8_t(r.high));
  for (int v = 0; v < 4; ++v) {
    int32x4_t z[4];
    for (int j = 0; j < 4; ++j) z[j] = rescale4(sums.part[4 * j + v], m, e);
    vst1q_s8(to + 16 * v, to_bytes(z, zero, low, high));
  }
}

inline void map_planes(const uint8_t *tables, const HalfTables *halves, int planes, int64_t runs,
                       int64_t bytes, const uint8_t *from, uint8_t *to) {
  if (all_halves(halves, planes)) {
    for (; runs > 0; --runs, from += bytes, to += planes * bytes)
      for (int64_t i = 0; i < bytes; i += 16) {
        const uint8x16_t index = vld1q_u8(from + i);
        const uint8x16_t low = vandq_u8(index, vdupq_n_u8(0x0F)), high = vshrq_n_u8(index, 4);
        for (int k = 0; k < planes; ++k)
          vst1q_u8(to + k * bytes + i,
                   vaddq_u8(HalfTable(halves[k].low)(low), HalfTable(halves[k].high)(high)));
      }
    return;
  }
  for (int k = 0; k < planes; ++k) {
    const Table table(tables + 256 * k);
    for (int64_t run = 0; run < runs; ++run)
      for (int64_t i = 0; i < bytes; i += 16)
        vst1q_u8(to + (run * planes + k) * bytes + i, table(vld1q_u8(from + run * bytes + i)));
  }
}

inline void map(const uint8_t *table, int64_t count, const int8_t *from, int8_t *to) {
  const Table registers(table);
  for (int64_t i = 0; i < count; i += 16)
    vst1q_s8(to + i, as_signed(registers(vreinterpretq_u8_s8(vld1q_s8(from + i)))));
}

// What `four` makes of four pairs of values in 16 bits, in 32 bits, to bytes.
template <class Four>
inline void each_pair(const Operator &op, const int8_t *a, const int8_t *b, int16_t zero_point,
                      int8_t *to, const Four &four) {
  const int16x8_t zero = vdupq_n_s16(zero_point);
  const int8x16_t low = vdupq_n_s8(int8_t(op.clamp_low)), high = vdupq_n_s8(int8_t(op.clamp_high));
  for (int k = 0; k < op.runs; ++k) {
    const Pairing &pairing = op.pairing[k];
    const int8_t *x = a + int64_t(pairing.first) * BLOCK;
    const int8_t *y = b + int64_t(pairing.second) * BLOCK;
    for (int p = 0; p < pairing.count; ++p, to += BLOCK) {
      for (int i = 0; i < BLOCK; i += 16) {
        const int8x16_t bytes_x = vld1q_s8(x + i), bytes_y = vld1q_s8(y + i);
        const int16x8_t words_x[2] = {vmovl_s8(vget_low_s8(bytes_x)),
                                      vmovl_s8(vget_high_s8(bytes_x))};
        const int16x8_t words_y[2] = {vmovl_s8(vget_low_s8(bytes_y)),
                                      vmovl_s8(vget_high_s8(bytes_y))};
        int32x4_t z[4];
        for (int h = 0; h < 2; ++h) {
          z[2 * h] = four(vget_low_s16(words_x[h]), vget_low_s16(words_y[h]));
          z[2 * h + 1] = four(vget_high_s16(words_x[h]), vget_high_s16(words_y[h]));
        }
        vst1q_s8(to + i, to_bytes(z, zero, low, high));
      }
      x += pairing.first_step * BLOCK;
      y += pairing.second_step * BLOCK;
    }
  }
}

// Sums that are one linear function of the operands times 256.
inline void linear_sum(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to) {
  const int32x4_t constant = vdupq_n_s32(op.linear_constant[0]);
  const int32x4_t low_constant = vdupq_n_s32(op.linear_constant[1]);
  const int32x4_t shift = vdupq_n_s32(-op.linear_shift);
  each_pair(op, a, b, 0, to, [&](int16x4_t x, int16x4_t y) {
    x = vshl_n_s16(x, 8);
    y = vshl_n_s16(y, 8);
    const int32x4_t low = vmlal_n_s16(vmlal_n_s16(low_constant, x, op.linear[2]), y, op.linear[3]);
    const int32x4_t high = vmlal_n_s16(vmlal_n_s16(constant, x, op.linear[0]), y, op.linear[1]);
    return vshlq_s32(vaddq_s32(high, vshrq_n_s32(low, LINEAR_LOW_BITS)), shift);
  });
}

inline void add(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to) {
  if (op.linear_shift) return linear_sum(op, a, b, to);
  if (op.shift[0] > 0 || op.shift[1] > 0 || op.shift[2] > 0) return scalar::add(op, a, b, to);
  int32x4_t m[3], e[3];
  for (int k = 0; k < 3; ++k) {
    m[k] = vdupq_n_s32(op.multiplier[k]);
    e[k] = vdupq_n_s32(op.shift[k]);
  }
  const int16x4_t zero_a = vdup_n_s16(int16_t(op.input_zero_point));
  const int16x4_t zero_b = vdup_n_s16(int16_t(op.second_zero_point));
  const auto scaled = [&](int k, int16x4_t v) {
    return rescale4(vshlq_n_s32(vmovl_s16(v), ADD_LEFT_SHIFT), m[k], e[k]);
  };
  each_pair(op, a, b, int16_t(op.output_zero_point), to, [&](int16x4_t x, int16x4_t y) {
    const int32x4_t first = scaled(0, vsub_s16(x, zero_a)), second = scaled(1, vsub_s16(y, zero_b));
    return rescale4(op.kind == SUBTRACT ? vsubq_s32(first, second) : vaddq_s32(first, second), m[2],
                    e[2]);
  });
}

inline void multiply(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to) {
  if (op.shift[0] > 0) return scalar::multiply(op, a, b, to);
  const int32x4_t m = vdupq_n_s32(op.multiplier[0]), e = vdupq_n_s32(op.shift[0]);
  const int16x4_t zero_a = vdup_n_s16(int16_t(op.input_zero_point));
  const int16x4_t zero_b = vdup_n_s16(int16_t(op.second_zero_point));
  each_pair(op, a, b, int16_t(op.output_zero_point), to, [&](int16x4_t x, int16x4_t y) {
    return rescale4(vmull_s16(vsub_s16(x, zero_a), vsub_s16(y, zero_b)), m, e);
  });
}

}  // namespace axynq::neon
