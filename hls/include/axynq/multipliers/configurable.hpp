// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// One radix-4 Booth array for several ROUP configurations, chosen by a code.
#ifndef AXYNQ_MULTIPLIERS_CONFIGURABLE_HPP
#define AXYNQ_MULTIPLIERS_CONFIGURABLE_HPP

#include "axynq/multipliers/exact.hpp"
#include "axynq/multipliers/roup.hpp"
#include "axynq/pragmas.hpp"
#include "axynq/types.hpp"

namespace axynq {

// Where a design rounds each partial product; -1 drops it.
template <class DESIGN>
struct roup_settings;

template <>
struct roup_settings<exact> {
  static int rounding(int) {
    AXYNQ_INLINE
    return 0;
  }
};

template <int P, int R0, int R1, int R2, int R3>
struct roup_settings<roup<P, R0, R1, R2, R3>> {
  static int rounding(int j) {
    AXYNQ_INLINE
    return j < P ? -1 : j == 0 ? R0 : j == 1 ? R1 : j == 2 ? R2 : R3;
  }
};

// The setting that the code selects among the designs.
template <int CODE, class... DESIGNS>
struct selected_settings {
  static int rounding(int, int) {
    AXYNQ_INLINE
    return -1;
  }
};

template <int CODE, class DESIGN, class... OTHERS>
struct selected_settings<CODE, DESIGN, OTHERS...> {
  static int rounding(int code, int j) {
    AXYNQ_INLINE
    return code == CODE ? roup_settings<DESIGN>::rounding(j)
                        : selected_settings<CODE + 1, OTHERS...>::rounding(code, j);
  }
};

template <class... DESIGNS>
struct configurable_roup {
  static product_t product(activation_t a, weight_t w, int code) {
    AXYNQ_INLINE
    product_t total = 0;
    for (int j = 0; j < 4; ++j) {
      AXYNQ_UNROLL
      const int r = selected_settings<0, DESIGNS...>::rounding(code, j);
      const bool sign = w[2 * j + 1];
      const bool high = w[2 * j];
      const bool low = j == 0 ? false : bool(w[j == 0 ? 0 : 2 * j - 1]);
      const bool one = high != low;
      const bool two = (sign != high) && (high == low);
      // a with its lowest r bits cleared, plus the bit below them where they begin.
      ap_int<10> rounded = a;
      for (int bit = 1; bit <= 8; ++bit) {
        AXYNQ_UNROLL
        if (r == bit)
          rounded =
              ap_int<10>((a >> bit) << bit) + (a[bit - 1] ? ap_int<10>(1 << bit) : ap_int<10>(0));
      }
      ap_int<12> selected = 0;
      if (one) selected = rounded;
      if (two) selected = ap_int<12>(rounded) << 1;
      if (sign) selected = -selected;
      if (r >= 0) total += product_t(product_t(selected) << (2 * j));
    }
    return total;
  }
};

}  // namespace axynq

#endif
