// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Simulation only: a design's products in a table that the design itself fills, because bit-level
// C++ is slow. A test compares design and table on all operands.
#ifndef AXYNQ_TABULATED_HPP
#define AXYNQ_TABULATED_HPP

#include <cstdint>
#include <vector>

#include "axynq/types.hpp"

namespace axynq {

template <class DESIGN>
struct tabulated {
  static const int ACTIVATIONS = 511;
  static const int WEIGHTS = 256;

  static const std::int32_t *table() {
    static const std::vector<std::int32_t> products = fill();
    return products.data();
  }

 private:
  static std::vector<std::int32_t> fill() {
    std::vector<std::int32_t> products(std::size_t(ACTIVATIONS) * WEIGHTS);
    for (int a = -255; a <= 255; ++a)
      for (int w = -128; w <= 127; ++w)
        products[std::size_t(a + 255) * WEIGHTS + (w + 128)] =
            int(DESIGN::product(activation_t(a), weight_t(w)));
    return products;
  }
};

// The products of several designs; 0 for codes of none.
template <class... DESIGNS>
struct tabulated_bank {
  static int product(int a, int w, int code) {
    if (unsigned(code) >= sizeof...(DESIGNS)) return 0;
    return tables[code][(a + 255) * 256 + (w + 128)];
  }

 private:
  static const std::int32_t *const tables[sizeof...(DESIGNS)];
};

template <class... DESIGNS>
const std::int32_t *const tabulated_bank<DESIGNS...>::tables[sizeof...(DESIGNS)] = {
    tabulated<DESIGNS>::table()...};

}  // namespace axynq

#endif
