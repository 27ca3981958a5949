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
struct bank : tabulated_bank<DESIGNS...> {};

template <class... DESIGNS>
struct configurable_bank : tabulated_bank<DESIGNS...> {};

#else

template <class... DESIGNS>
struct bank {
  static product_t product(activation_t a, weight_t w, int code) {
    AXYNQ_INLINE
    return bank_from<0, DESIGNS...>::product(a, w, code);
  }
};

template <class DESIGN>
struct bank<DESIGN> {
  static product_t product(activation_t a, weight_t w, int) {
    AXYNQ_INLINE
    return circuit<DESIGN>::product(a, w);
  }
};

// Exact and ROUP multipliers in one cell whose perforation and rounding the code sets: a Booth
// array with a few gates more instead of an array for each.
template <class... DESIGNS>
struct configurable_bank {
  static product_t product(activation_t a, weight_t w, int code) {
    AXYNQ_INLINE
    return configurable_circuit<DESIGNS...>::product(a, w, code);
  }
};

#endif

}  // namespace axynq

#endif
