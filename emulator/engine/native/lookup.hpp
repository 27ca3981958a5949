// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Sums of looked-up bytes: the part of a multiplier that has no short sum of separable terms.
#pragma once

#include <algorithm>
#include <vector>

#include "planes.hpp"

namespace axynq {

// Looked-up bytes are summed in bytes, those in 16-bit words, those in 32 bits. Before which taps
// of a filter byte sums (1), and word sums too (2), are widened, lest they overflow.
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

// The looked-up part of one filter for some neighbouring output positions. Not inlined: among the
// dot products it takes registers from them.
template <int POSITIONS = instructions::LOOKUP_POSITIONS>
[[gnu::noinline]] inline void look_up(const Convolution &c, const LookupFilter &filter,
                                      int positions, const uint8_t *const *rows, int64_t step,
                                      int32_t *sums) {
  if (positions == POSITIONS) return instructions::look_up<POSITIONS>(c, filter, rows, step, sums);
  if constexpr (POSITIONS > 1) look_up<POSITIONS - 1>(c, filter, positions, rows, step, sums);
}

// The looked-up sums of a row, [channels][columns][64]. Some channels at some positions for all
// filters, and then the next: their bytes stay in the nearest cache.
inline void look_up_row(const Convolution &c, int columns,
                        const std::vector<const uint8_t *> &bytes, int64_t part_bytes,
                        int32_t *sums) {
  const int64_t step = int64_t(c.stride_columns) * lookup_channels(c) * BLOCK;
  const int64_t row_bytes = lookup_row_bytes(c, columns);
  std::memset(sums, 0, size_t(c.output_channels) * size_t(columns) * BLOCK * sizeof(int32_t));
  std::vector<const uint8_t *> rows(bytes.size());
  constexpr int MOST = instructions::LOOKUP_POSITIONS;
  const int chunks = (columns + MOST - 1) / MOST;  // as equal as possible
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const int x = columns * chunk / chunks, positions = columns * (chunk + 1) / chunks - x;
    for (int l = 0; l < c.lookups; ++l) {
      const LookupFilter &filter = c.lookup[l];
      const int64_t place = row_part(filter) * part_bytes + filter.channels * row_bytes + x * step;
      for (size_t k = 0; k < bytes.size(); ++k) rows[k] = bytes[k] + place;
      look_up(c, filter, positions, rows.data(), step,
              sums + (int64_t(filter.filter) * columns + x) * BLOCK);
    }
  }
}

}  // namespace axynq
