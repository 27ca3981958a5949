// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// A bank: the multiplier designs of a lane, selected by the code of each weight.
#ifndef AXYNQ_BANK_HPP
#define AXYNQ_BANK_HPP

#include "axynq/circuit.hpp"
#include "axynq/pragmas.hpp"
#include "axynq/types.hpp"

#if defined(AXYNQ_SIMULATION)
#include "axynq/tabulated.hpp"
#endif

namespace axynq {

// Lowest bits that all products of all designs have zero.
template <class... DESIGNS>
struct zero_bits_of;

template <class DESIGN>
struct zero_bits_of<DESIGN> {
  static const int value = zero_bits<DESIGN>::value;
};

template <class DESIGN, class NEXT, class... OTHERS>
struct zero_bits_of<DESIGN, NEXT, OTHERS...> {
  static const int others = zero_bits_of<NEXT, OTHERS...>::value;
  static const int value = zero_bits<DESIGN>::value < others ? zero_bits<DESIGN>::value : others;
};

// Two products of one activation.
struct products_t {
  product_t first, second;
};

// Code k selects the k-th design. Designs that are not selected see a weight of zero, so that
// little in them toggles, and answer zero, so that an OR joins them. A skipped multiplication is a
// weight of zero too. In a bank of one nothing selects.
template <int CODE, class... DESIGNS>
struct bank_from {
  static product_t product(activation_t, weight_t, int) {
    AXYNQ_INLINE
    return 0;
  }
};

template <int CODE, class DESIGN, class... OTHERS>
struct bank_from<CODE, DESIGN, OTHERS...> {
  static product_t product(activation_t a, weight_t w, int code) {
    AXYNQ_INLINE
    const weight_t gated = code == CODE ? w : weight_t(0);
    return circuit<DESIGN>::product(a, gated) | bank_from<CODE + 1, OTHERS...>::product(a, w, code);
  }
};

#if defined(AXYNQ_SIMULATION)

// The same functions, looked up: the designs filled the tables.
template <class... DESIGNS>
struct bank : tabulated_bank<DESIGNS...> {
  static const int ZERO_BITS = zero_bits_of<DESIGNS...>::value;
};

template <class... DESIGNS>
struct configurable_bank : tabulated_bank<DESIGNS...> {
  static const int ZERO_BITS = zero_bits_of<DESIGNS...>::value;
};

struct dsp_pair {
  static products_t products(activation_t a, weight_t first, weight_t second) {
    products_t both;
    both.first = tabulated_bank<exact>::product(a, first, 0);
    both.second = tabulated_bank<exact>::product(a, second, 0);
    return both;
  }
};

#else

template <class... DESIGNS>
struct bank {
  static const int ZERO_BITS = zero_bits_of<DESIGNS...>::value;

  static product_t product(activation_t a, weight_t w, int code) {
    AXYNQ_INLINE
    return bank_from<0, DESIGNS...>::product(a, w, code);
  }
};

template <class DESIGN>
struct bank<DESIGN> {
  static const int ZERO_BITS = zero_bits<DESIGN>::value;

  static product_t product(activation_t a, weight_t w, int) {
    AXYNQ_INLINE
    return circuit<DESIGN>::product(a, w);
  }
};

// Exact and ROUP multipliers in one cell whose perforation and rounding the code sets: a Booth
// array with a few gates more instead of an array for each.
template <class... DESIGNS>
struct configurable_bank {
  static const int ZERO_BITS = zero_bits_of<DESIGNS...>::value;

  static product_t product(activation_t a, weight_t w, int code) {
    AXYNQ_INLINE
    return configurable_circuit<DESIGNS...>::product(a, w, code);
  }
};

// Two exact multipliers in one DSP block.
struct dsp_pair {
  static products_t products(activation_t a, weight_t first, weight_t second) {
    AXYNQ_INLINE
    const pair_t packed = pair_circuit::products(a, first, second);
    products_t both;
    both.first = exact_pair::first_of(packed);
    both.second = exact_pair::second_of(packed);
    return both;
  }
};

#endif

}  // namespace axynq

#endif
