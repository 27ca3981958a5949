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

// Lane LANE and those below it: the sum of the products of its operands. The recursion gives every
// lane its own bank. A convolution's lanes share their operands; others have windows.
template <int LANE>
struct lanes {
  typedef typename lane_bank<LANE>::type bank_t;

  static void multiply(const activation_t shared[INPUTS],
                       const activation_t window[FILTERS][WINDOW_TAPS], bool windowed,
                       const weight_row::type weights[FILTERS], const code_row::type codes[FILTERS],
                       accumulator_t sums[FILTERS]) {
    AXYNQ_INLINE
    sum_t products[INPUTS];
    AXYNQ_REGISTERS(products)
    for (int i = 0; i < INPUTS; ++i) {
      AXYNQ_UNROLL
      // Multipliers before the window have weights of zero where there is one.
      const int tap = i - (INPUTS - WINDOW_TAPS);
      const activation_t a = windowed && tap >= 0 ? window[LANE][tap < 0 ? 0 : tap] : shared[i];
      const weight_t w = weight_t(weight_row::at(weights[LANE], i));
      const int code = HAS_CODES ? int(code_row::at(codes[LANE], i)) : 0;
      products[i] = sum_t(int(bank_t::product(a, w, code)));
    }
    AXYNQ_COUNT(COUNT_MULTIPLICATIONS, weight_row::others_than_zero(weights[LANE]));
    sums[LANE] = int(sum_of<0, INPUTS>::of(products));
    lanes<LANE - 1>::multiply(shared, window, windowed, weights, codes, sums);
  }
};

template <>
struct lanes<-1> {
  static void multiply(const activation_t *, const activation_t (*)[WINDOW_TAPS], bool,
                       const weight_row::type *, const code_row::type *, accumulator_t *) {
    AXYNQ_INLINE
  }
};

}  // namespace axynq

#endif
