// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// ROUP: radix-4 Booth multiplier with perforation and asymmetric rounding.
#ifndef AXYNQ_MULTIPLIERS_ROUP_HPP
#define AXYNQ_MULTIPLIERS_ROUP_HPP

#include "axynq/pragmas.hpp"
#include "axynq/types.hpp"

namespace axynq {

// One partial product: the Booth digit J of w times a rounded half up at bit R, in place.
template <int J, int R>
struct roup_partial_product {
  static_assert(R >= 0 && R <= 8, "ROUP rounds a 9-bit activation at bits 0 to 8");

  static product_t value(activation_t a, weight_t w) {
    AXYNQ_INLINE
    const bool sign = w[2 * J + 1];
    const bool high = w[2 * J];
    const bool low = J == 0 ? false : bool(w[J == 0 ? 0 : 2 * J - 1]);
    const bool one = high != low;                      // |digit| == 1
    const bool two = (sign != high) && (high == low);  // |digit| == 2
    const bool carry = R == 0 ? false : bool(a[R == 0 ? 0 : R - 1]);
    const ap_int<10> rounded = ap_int<10>(a >> R) + ap_int<10>(carry ? 1 : 0);
    const ap_int<11> doubled = ap_int<11>(rounded) << 1;
    ap_int<12> selected = 0;
    if (one) selected = rounded;
    if (two) selected = doubled;
    if (sign) selected = -selected;  // digit 0 with the sign set is -0
    return product_t(product_t(selected) << (R + 2 * J));
  }
};

// The partial product, or nothing where it is perforated.
template <int J, int R, bool PERFORATED>
struct roup_term {
  static product_t value(activation_t a, weight_t w) {
    AXYNQ_INLINE
    return roup_partial_product<J, R>::value(a, w);
  }
};

template <int J, int R>
struct roup_term<J, R, true> {
  static product_t value(activation_t, weight_t) {
    AXYNQ_INLINE
    return 0;
  }
};

// P least significant partial products are left out; the others round the activation at bit Rj.
template <int P, int R0, int R1, int R2, int R3>
struct roup {
  static_assert(P >= 0 && P <= 3, "ROUP drops 0 to 3 of the four partial products");

  static product_t product(activation_t a, weight_t w) {
    AXYNQ_INLINE
    const product_t low =
        roup_term<0, R0, (P > 0)>::value(a, w) + roup_term<1, R1, (P > 1)>::value(a, w);
    const product_t high =
        roup_term<2, R2, (P > 2)>::value(a, w) + roup_term<3, R3, false>::value(a, w);
    return low + high;
  }
};

template <int P, int R0, int R1, int R2, int R3>
struct zero_bits<roup<P, R0, R1, R2, R3>> {
  static constexpr int smaller(int a, int b) { return a < b ? a : b; }
  static constexpr int of(int j, int r) { return j < P ? 17 : 2 * j + r; }
  static const int value = smaller(smaller(of(0, R0), of(1, R1)), smaller(of(2, R2), of(3, R3)));
};

}  // namespace axynq

#endif
