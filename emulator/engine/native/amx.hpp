// AVX-512, and AMX for layers with many channels. instructions.hpp says what each part does.
#pragma once

#include "avx512.hpp"

namespace axynq::amx {

using avx512::add;
using avx512::dot_products;
using avx512::look_up;
using avx512::map;
using avx512::map_and_interleave;
using avx512::multiply;
using avx512::real_factor;
using avx512::requantise;
using avx512::Sums;
using avx512::Table;
using avx512::WIDE_WEIGHTS;

constexpr bool TILES = true;

// Tiles of 16 rows of 64 bytes: 0 to 3 hold the sums of 16 filters for 16 images each, 4 and 5 the
// weights of 16 filters, 6 and 7 activations.
struct Thread {
  Thread() {
    alignas(64) struct {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } shapes;
    _tile_loadconfig(&shapes);
  }
  ~Thread() { _tile_release(); }
  Thread(const Thread &) = delete;
  Thread &operator=(const Thread &) = delete;
};

namespace detail {

inline void clear() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

// What the tiles hold, [filter][quarter of the images][16]: that is the order of the sums.
inline void store(int32_t *to) {
  constexpr int ROW = BLOCK * sizeof(int32_t);
  _tile_stored(0, to, ROW);
  _tile_stored(1, to + 16, ROW);
  _tile_stored(2, to + 32, ROW);
  _tile_stored(3, to + 48, ROW);
}

}  // namespace detail

// Groups of four taps are rows of the second operand just as interleaving leaves them: a quarter of
// the images is 16 columns of four bytes.
inline void tile_products(const FilterBlock &block, const uint8_t *const *rows, int32_t *sums) {
  constexpr int GROUP = 4 * BLOCK, WEIGHTS = 64 * MOST_FILTERS;
  const int8_t *weights = block.weights;
  bool stored = false;
  int shift = 0;
  // The tiles are added to what was stored before, shifted.
  const auto flush = [&] {
    if (!stored) return detail::store(sums);
    alignas(64) int32_t own[MOST_FILTERS * BLOCK];
    detail::store(own);
    for (int k = 0; k < MOST_FILTERS * BLOCK; k += 16) {
      const __m512i before = _mm512_slli_epi32(_mm512_loadu_si512(sums + k), unsigned(shift));
      _mm512_storeu_si512(sums + k, _mm512_add_epi32(before, _mm512_load_si512(own + k)));
    }
  };
  detail::clear();
  for (int s = 0; s < block.segments; ++s) {
    const Segment &segment = block.segment[s];
    if (segment.shift) {
      flush();
      detail::clear();
      stored = true;
      shift = segment.shift;
    }
    const uint8_t *x = rows[s];
    for (int g = 0; g < segment.groups; g += TILE_GROUPS, x += TILE_GROUPS * GROUP) {
      _tile_loadd(4, weights, 64);
      weights += WEIGHTS;
      _tile_loadd(6, x, GROUP);
      _tile_dpbsud(0, 4, 6);
      _tile_loadd(7, x + 64, GROUP);
      _tile_dpbsud(1, 4, 7);
      _tile_loadd(6, x + 128, GROUP);
      _tile_dpbsud(2, 4, 6);
      _tile_loadd(7, x + 192, GROUP);
      _tile_dpbsud(3, 4, 7);
    }
  }
  flush();
}

}  // namespace axynq::amx
