// A bank: the multiplier designs of a lane, selected by the code of each weight.
#ifndef AXYNQ_BANK_HPP
#define AXYNQ_BANK_HPP

#include "axynq/pragmas.hpp"
#include "axynq/types.hpp"

#if defined(AXYNQ_SIMULATION)
#include "axynq/tabulated.hpp"
#endif

namespace axynq {

// Code 0 skips the multiplication, code k selects the k-th design. Designs that are not selected
// see zero operands, so that nothing in them toggles, and answer zero, so that an OR joins them.
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
#if defined(AXYNQ_SIMULATION)
    // The same function, looked up: the design filled the table.
    if (code == CODE) return tabulated<DESIGN>::product(int(a), int(w));
    return bank_from<CODE + 1, OTHERS...>::product(a, w, code);
#else
    const bool selected = code == CODE;
    const activation_t gated_a = selected ? a : activation_t(0);
    const weight_t gated_w = selected ? w : weight_t(0);
    return DESIGN::product(gated_a, gated_w) | bank_from<CODE + 1, OTHERS...>::product(a, w, code);
#endif
  }
};

template <class... DESIGNS>
struct bank {
  static const int SIZE = sizeof...(DESIGNS);

  static product_t product(activation_t a, weight_t w, int code) {
    AXYNQ_INLINE
    return bank_from<1, DESIGNS...>::product(a, w, code);
  }
};

}  // namespace axynq

#endif
