// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Two exact products of one activation, as one DSP block computes them.
#ifndef AXYNQ_MULTIPLIERS_EXACT_PAIR_HPP
#define AXYNQ_MULTIPLIERS_EXACT_PAIR_HPP

#include "axynq/pragmas.hpp"
#include "axynq/types.hpp"

namespace axynq {

typedef ap_uint<34> pair_t;  // two products, that of the first weight lowest

struct exact_pair {
  // P = (D + A) * B + C with D = second * 2^16, A = first, B = a and C = 2^15. As |a * first| is at
  // most 32640, a * first + 2^15 fits 16 unsigned bits: nothing is borrowed from the product above.
  // No pragma binds the multiplication to a DSP: that keeps Vitis HLS from joining the additions to
  // it (UG1399, BIND_OP).
  static pair_t products(activation_t a, weight_t first, weight_t second) {
    AXYNQ_INLINE
    const ap_int<24> upper = ap_int<24>(second) << 16;
    const ap_int<25> weights = upper + first;
    const ap_int<34> product = a * weights;
    const ap_int<34> sum = product + ap_int<34>(1 << 15);
    const ap_int<16> low = ap_int<16>(ap_uint<16>(sum) ^ ap_uint<16>(1 << 15));
    const ap_uint<17> first_product = product_t(low);
    const ap_uint<17> second_product = product_t(sum >> 16);
    return pair_t((pair_t(second_product) << 17) | pair_t(first_product));
  }

  static product_t first_of(pair_t pair) {
    AXYNQ_INLINE
    return product_t(pair);
  }

  static product_t second_of(pair_t pair) {
    AXYNQ_INLINE
    return product_t(pair >> 17);
  }
};

}  // namespace axynq

#endif
