// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// The exact multiplier.
#ifndef AXYNQ_MULTIPLIERS_EXACT_HPP
#define AXYNQ_MULTIPLIERS_EXACT_HPP

#include "axynq/pragmas.hpp"
#include "axynq/types.hpp"

namespace axynq {

struct exact {
  static product_t product(activation_t a, weight_t w) {
    AXYNQ_INLINE
    return product_t(a * w);
  }
};

}  // namespace axynq

#endif
