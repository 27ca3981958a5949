// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// SMApprox: sign-magnitude multiplier of four approximate 4x4 cells.
#ifndef AXYNQ_MULTIPLIERS_SMAPPROX_HPP
#define AXYNQ_MULTIPLIERS_SMAPPROX_HPP

#include "axynq/pragmas.hpp"
#include "axynq/types.hpp"

namespace axynq {

typedef ap_uint<4> nibble_t;
typedef ap_uint<8> cell_t;

// The cells 0 to 3. a is the activation's nibble: cells 1 and 2 do not commute.
template <int DESIGN>
struct smapprox_cell {
  static_assert(DESIGN == 0, "SMApprox cells are numbered 0 to 3");

  static cell_t value(nibble_t a, nibble_t b) {
    AXYNQ_INLINE
    return cell_t(a * b);
  }
};

// Two exact 4x2 products whose sum looks back one column for its carries.
template <>
struct smapprox_cell<1> {
  static cell_t value(nibble_t a, nibble_t b) {
    AXYNQ_INLINE
    const ap_uint<2> b_low = ap_uint<2>(b);
    const ap_uint<2> b_high = ap_uint<2>(b >> 2);
    const ap_uint<6> x = a * b_low;
    const ap_uint<6> y = a * b_high;
    const bool x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3], x4 = x[4], x5 = x[5];
    const bool y0 = y[0], y1 = y[1], y2 = y[2], y3 = y[3], y4 = y[4], y5 = y[5];
    const bool carry = x5 && y3;
    cell_t p = 0;
    p[0] = x0;
    p[1] = x1;
    p[2] = x2 != y0;
    p[3] = (x3 != y1) != (x2 && y0);
    p[4] = (x4 != y2) != (x3 && y1);
    p[5] = (x5 != y3) != (x4 && y2);
    p[6] = y4 != carry;
    p[7] = y5 != (y4 && carry);
    return p;
  }
};

// The columns of partial products with most carries left out; INNER keeps two of them.
template <bool INNER>
struct smapprox_columns {
  static cell_t value(nibble_t a, nibble_t b) {
    AXYNQ_INLINE
    const bool a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];
    const bool b0 = b[0], b1 = b[1], b2 = b[2], b3 = b[3];
    const bool carry2 = (a1 && b0) && (a0 && b1);
    const bool carry3 = INNER && (a2 && b0) && (a1 && b1);
    const bool carry4 = INNER && (a2 && b1) && (a1 && b2);
    const bool carry6 = (a3 && b2) && (a2 && b3);
    cell_t p = 0;
    p[0] = a0 && b0;
    p[1] = (a1 && b0) != (a0 && b1);
    p[2] = (((a2 && b0) != (a1 && b1)) != (a0 && b2)) != carry2;
    p[3] = ((((a3 && b0) != (a2 && b1)) != (a1 && b2)) != (a0 && b3)) != carry3;
    p[4] = (((a3 && b1) != (a2 && b2)) != (a1 && b3)) != carry4;
    p[5] = (a3 && b2) != (a2 && b3);
    p[6] = (a3 && b3) != carry6;
    p[7] = (a3 && b3) && carry6;
    return p;
  }
};

template <>
struct smapprox_cell<2> {
  static cell_t value(nibble_t a, nibble_t b) {
    AXYNQ_INLINE
    return smapprox_columns<true>::value(a, b);
  }
};

template <>
struct smapprox_cell<3> {
  static cell_t value(nibble_t a, nibble_t b) {
    AXYNQ_INLINE
    return smapprox_columns<false>::value(a, b);
  }
};

// The cells for AL*BL, AH*BL, AL*BH and AH*BH, with A = |a| and B = |w|; their sum is accurate.
template <int LOW_LOW, int HIGH_LOW, int LOW_HIGH, int HIGH_HIGH>
struct smapprox {
  static product_t product(activation_t a, weight_t w) {
    AXYNQ_INLINE
    const bool negative_a = a < 0;
    const bool negative_w = w < 0;
    const ap_uint<8> magnitude_a = negative_a ? ap_uint<8>(-a) : ap_uint<8>(a);
    const ap_uint<8> magnitude_w = negative_w ? ap_uint<8>(-w) : ap_uint<8>(w);
    const nibble_t a_low = nibble_t(magnitude_a);
    const nibble_t a_high = nibble_t(magnitude_a >> 4);
    const nibble_t w_low = nibble_t(magnitude_w);
    const nibble_t w_high = nibble_t(magnitude_w >> 4);
    const ap_uint<9> middle = smapprox_cell<HIGH_LOW>::value(a_high, w_low) +
                              smapprox_cell<LOW_HIGH>::value(a_low, w_high);
    const ap_uint<16> magnitude =
        ap_uint<16>(smapprox_cell<LOW_LOW>::value(a_low, w_low)) + (ap_uint<16>(middle) << 4) +
        (ap_uint<16>(smapprox_cell<HIGH_HIGH>::value(a_high, w_high)) << 8);
    return (negative_a != negative_w) ? product_t(-product_t(magnitude)) : product_t(magnitude);
  }
};

}  // namespace axynq

#endif
