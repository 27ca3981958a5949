// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers
// Generated from hls/overlays/z2-sm16.toml. Do not edit: run `make generate`.
#ifndef AXYNQ_BLACKBOXES_HPP
#define AXYNQ_BLACKBOXES_HPP

#include <ap_int.h>

#include "axynq/multipliers/configurable.hpp"
#include "axynq/multipliers/exact.hpp"
#include "axynq/multipliers/exact_pair.hpp"
#include "axynq/multipliers/roup.hpp"
#include "axynq/multipliers/smapprox.hpp"
#include "axynq/types.hpp"

axynq::product_t axynq_exact(axynq::activation_t a, axynq::weight_t w);
axynq::product_t axynq_smapprox_1110(axynq::activation_t a, axynq::weight_t w);
axynq::product_t axynq_smapprox_3330(axynq::activation_t a, axynq::weight_t w);
axynq::product_t axynq_smapprox_2222(axynq::activation_t a, axynq::weight_t w);

namespace axynq {

template <>
struct circuit<exact> {
  static product_t product(activation_t a, weight_t w) {
    AXYNQ_INLINE
    return ::axynq_exact(a, w);
  }
};

template <>
struct circuit<smapprox<1, 1, 1, 0> > {
  static product_t product(activation_t a, weight_t w) {
    AXYNQ_INLINE
    return ::axynq_smapprox_1110(a, w);
  }
};

template <>
struct circuit<smapprox<3, 3, 3, 0> > {
  static product_t product(activation_t a, weight_t w) {
    AXYNQ_INLINE
    return ::axynq_smapprox_3330(a, w);
  }
};

template <>
struct circuit<smapprox<2, 2, 2, 2> > {
  static product_t product(activation_t a, weight_t w) {
    AXYNQ_INLINE
    return ::axynq_smapprox_2222(a, w);
  }
};

}  // namespace axynq

#endif
