// Sums of looked-up bytes: the part of a multiplier that has no short sum of separable terms.
#pragma once

#include <algorithm>
#include <vector>

#include "instructions.hpp"

namespace axynq {

constexpr int MAX_POSITIONS = 8;  // output positions looked up together at most

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

// The looked-up part of one filter for a row, several output positions at a time. Not inlined:
// among the dot products it takes registers from them.
[[gnu::noinline]] inline void look_up_row(const Convolution &c, const LookupFilter &filter,
                                          std::vector<const uint8_t *> &tap_rows, int columns,
                                          int32_t *sums) {
  const int64_t step = int64_t(c.stride_columns) * BLOCK;
  for (int left = columns; left > 0;) {
    const int positions = std::min(left, MAX_POSITIONS);
    switch (positions) {
      case 1:
        instructions::look_up<1>(c, filter, tap_rows.data(), step, sums);
        break;
      case 2:
        instructions::look_up<2>(c, filter, tap_rows.data(), step, sums);
        break;
      case 3:
        instructions::look_up<3>(c, filter, tap_rows.data(), step, sums);
        break;
      case 4:
        instructions::look_up<4>(c, filter, tap_rows.data(), step, sums);
        break;
      case 5:
        instructions::look_up<5>(c, filter, tap_rows.data(), step, sums);
        break;
      case 6:
        instructions::look_up<6>(c, filter, tap_rows.data(), step, sums);
        break;
      case 7:
        instructions::look_up<7>(c, filter, tap_rows.data(), step, sums);
        break;
      default:
        instructions::look_up<8>(c, filter, tap_rows.data(), step, sums);
        break;
    }
    for (auto &pointer : tap_rows) pointer += positions * step;
    sums += int64_t(positions) * BLOCK;
    left -= positions;
  }
}

}  // namespace axynq
