// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// The lanes: each multiplies the activations of a step by its filter's weights and sums.
#ifndef AXYNQ_LANES_HPP
#define AXYNQ_LANES_HPP

#include "axynq/bank.hpp"
#include "axynq/memories.hpp"

namespace axynq {

// The sum of a lane's products. In simulation as wide as is fast.
#if defined(AXYNQ_SIMULATION)
typedef int sum_t;
#else
typedef ap_int<17 + bits_below(INPUTS)> sum_t;
#endif

// The sum of COUNT products from FIRST on, in pairs, so that it takes few additions in a row.
template <int FIRST, int COUNT>
struct sum_of {
  static sum_t of(const sum_t products[INPUTS]) {
    AXYNQ_INLINE
    return sum_of<FIRST, COUNT / 2>::of(products) +
           sum_of<FIRST + COUNT / 2, COUNT - COUNT / 2>::of(products);
  }
};

template <int FIRST>
struct sum_of<FIRST, 1> {
  static sum_t of(const sum_t products[INPUTS]) {
    AXYNQ_INLINE
    return products[FIRST];
  }
};

// What lane LANE multiplies by the i-th of its weights. A convolution's lanes share their operands;
// those of a depthwise layer have windows. Multipliers before the window have weights of zero then.
template <int LANE>
inline activation_t operand_of(const activation_t shared[INPUTS],
                               const activation_t window[WINDOW_LANES][WINDOW_TAPS], bool windowed,
                               int i) {
  AXYNQ_INLINE
  const bool has_window = LANE < WINDOW_LANES;
  const int tap = i - (INPUTS - WINDOW_TAPS);
  return has_window && windowed && tap >= 0 ? window[has_window ? LANE : 0][tap < 0 ? 0 : tap]
                                            : shared[i];
}

template <int LANE>
struct lanes;

// Lane LANE and those below it: the sum of the products of its operands. The recursion gives every
// lane its own bank.
template <int LANE, class BANK>
struct lanes_from {
  static void multiply(const activation_t shared[INPUTS],
                       const activation_t window[WINDOW_LANES][WINDOW_TAPS], bool windowed,
                       const weight_row::type weights[FILTERS], const code_row::type codes[FILTERS],
                       accumulator_t sums[FILTERS]) {
    AXYNQ_INLINE
    sum_t products[INPUTS];
    AXYNQ_REGISTERS(products)
    for (int i = 0; i < INPUTS; ++i) {
      AXYNQ_UNROLL
      const activation_t a = operand_of<LANE>(shared, window, windowed, i);
      const weight_t w = weight_t(weight_row::at(weights[LANE], i));
      const int code = HAS_CODES ? int(code_row::at(codes[LANE], i)) : 0;
      // Bits that no product has are no bits of an adder either.
      const int product = int(BANK::product(a, w, code));
      products[i] = sum_t(product >> BANK::ZERO_BITS) << BANK::ZERO_BITS;
    }
    AXYNQ_COUNT(COUNT_MULTIPLICATIONS, weight_row::others_than_zero(weights[LANE]));
    sums[LANE] = int(sum_of<0, INPUTS>::of(products));
    lanes<LANE - 1>::multiply(shared, window, windowed, weights, codes, sums);
  }
};

// Two lanes that share their operands: each DSP block multiplies for both. In a depthwise layer the
// second is idle.
template <int LANE>
struct lanes_from<LANE, dsp_pair> {
  static_assert(LANE % 2 == 1, "lanes of DSP pairs come two by two");

  static void multiply(const activation_t shared[INPUTS],
                       const activation_t window[WINDOW_LANES][WINDOW_TAPS], bool windowed,
                       const weight_row::type weights[FILTERS], const code_row::type codes[FILTERS],
                       accumulator_t sums[FILTERS]) {
    AXYNQ_INLINE
    sum_t first[INPUTS], second[INPUTS];
    AXYNQ_REGISTERS(first)
    AXYNQ_REGISTERS(second)
    for (int i = 0; i < INPUTS; ++i) {
      AXYNQ_UNROLL
      const activation_t a = operand_of<LANE - 1>(shared, window, windowed, i);
      const products_t products =
          dsp_pair::products(a, weight_t(weight_row::at(weights[LANE - 1], i)),
                             weight_t(weight_row::at(weights[LANE], i)));
      first[i] = products.first;
      second[i] = products.second;
    }
    AXYNQ_COUNT(COUNT_MULTIPLICATIONS, weight_row::others_than_zero(weights[LANE - 1]));
    AXYNQ_COUNT(COUNT_MULTIPLICATIONS, weight_row::others_than_zero(weights[LANE]));
    sums[LANE - 1] = int(sum_of<0, INPUTS>::of(first));
    sums[LANE] = int(sum_of<0, INPUTS>::of(second));
    lanes<LANE - 2>::multiply(shared, window, windowed, weights, codes, sums);
  }
};

template <int LANE>
struct lanes : lanes_from<LANE, typename lane_bank<LANE>::type> {};

template <>
struct lanes<-1> {
  static void multiply(const activation_t *, const activation_t (*)[WINDOW_TAPS], bool,
                       const weight_row::type *, const code_row::type *, accumulator_t *) {
    AXYNQ_INLINE
  }
};

}  // namespace axynq

#endif
